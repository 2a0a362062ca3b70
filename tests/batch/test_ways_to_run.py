"""docs/BATCH.md, README and docs/batch, as far as no cluster, Kubernetes or container engine is needed."""

import re
import shlex

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from freescale_batch.__main__ import parse
from tools import ROOT

PAGE = (ROOT / "docs" / "BATCH.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = ROOT / "docs" / "batch"
MODULE = "python -m freescale_batch"
OF_OTHERS = {
    *("--extra-model-paths-config", "--cache-none", "--shm-size", "--generate", "--runtime-env-json"),
    *("--rm", "--device", "--volume"),
}
"""Options of ComfyUI, of container engines and of Ray."""
INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "WORKDIR"}


def text_of(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def commands_of(text: str) -> list[list[str]]:
    """The words after `python -m freescale_batch` in each line of a text."""
    return [shlex.split(line.split(MODULE)[1]) for line in text.splitlines() if MODULE in line]


def shell_lines(text: str) -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))


ENTRYPOINT = yaml.safe_load(text_of("rayjob.yaml"))["spec"]["entrypoint"]
COMMANDS = [
    command for text in (shell_lines(README), shell_lines(PAGE), ENTRYPOINT) for command in commands_of(text)
]


def test_the_pages_and_the_job_show_commands():
    assert len(COMMANDS) == 7 and "--address" in COMMANDS[-1]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_is_one_that_the_package_takes(words):
    options, arguments = parse(words)
    assert options.workflow and options.out and options.comfyui
    assert bool(arguments) == ("--" in words)


def test_every_option_of_the_page_exists(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known | OF_OTHERS


def test_the_workflows_of_the_first_commands_are_there():
    for text in (README, PAGE):
        options, _ = parse(commands_of(shell_lines(text))[0])
        assert (ROOT / options.workflow).is_file()


def test_the_readme_installs_the_package_as_the_page_does():
    install = shell_lines(PAGE).split("\n\n")[0]
    assert "pip install -r" in install and install in shell_lines(README)


def test_the_cluster_file_keeps_to_the_schema_of_ray_and_names_as_many_workers_as_addresses():
    cluster = yaml.safe_load(text_of("cluster.yaml"))
    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["max_workers"] == len(cluster["provider"]["worker_ips"]) == 2
    (machine,) = prepared["available_node_types"].values()
    assert machine["min_workers"] == machine["max_workers"] == 2
    with pytest.raises(jsonschema.ValidationError, match="'max_worker' was unexpected"):
        validate_config(prepare_config(cluster | {"max_worker": 2}))


def test_the_container_the_cluster_and_the_job_for_kubernetes_have_the_same_ray():
    container, cluster = (
        re.findall(r"-r \S*requirements-batch\.txt \"ray\[data,default\]==([\d.]+)\"", text_of(name))
        for name in ("Containerfile", "cluster.yaml")
    )
    job = yaml.safe_load(text_of("rayjob.yaml"))["spec"]["rayClusterSpec"]["rayVersion"]
    assert container == cluster == [job]


def test_the_job_for_kubernetes_gives_each_worker_one_gpu_and_all_of_them_the_data():
    cluster = yaml.safe_load(text_of("rayjob.yaml"))["spec"]["rayClusterSpec"]
    head, *workers = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in (head, *workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts == {"data": "/data"} and [volume["name"] for volume in pod["volumes"]] == ["data"]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", "0")
        assert gpus == group["rayStartParams"].get("num-gpus", "1")
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_container_file_has_known_instructions_and_copies_what_is_there():
    lines = re.sub(r"\\\n", "", text_of("Containerfile")).splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    assert steps[0][0] == "FROM" and {step[0] for step in steps} == INSTRUCTIONS
    for _, source, _ in (step for step in steps if step[0] == "COPY"):
        assert (ROOT / source).exists()
    folder = next(step[2] for step in steps if step[:2] == ["COPY", "."])
    assert steps[-2:] == [["ENV", f"PYTHONPATH={folder}"], ["WORKDIR", folder]]


def test_the_container_gets_neither_gits_history_nor_what_is_set_up_here():
    left_out = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    assert {".git", *(line if "/" in line or line == ".dev" else f"**/{line}" for line in ignored)} <= set(
        left_out
    )


def test_the_job_for_kubernetes_is_one_command_without_a_word_that_a_shell_reads_otherwise():
    assert ENTRYPOINT.startswith(f"{MODULE} ")
    assert ENTRYPOINT.split() == shlex.split(ENTRYPOINT)
    assert not set("&;|$`[]<>(){}*?#~!\n") & set(ENTRYPOINT)
