"""What README tells programs to do works."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from prompts import cascade_prompt

from tools import ROOT
from tools.harness.comfy_client import ComfyClient

README = (ROOT / "README.md").read_text(encoding="utf-8")
WAIT_SECONDS = 120


def test_the_program_queues_a_workflow(client: ComfyClient, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "workflow_api.json").write_text(json.dumps(cascade_prompt(steps=2, factor=1.5)))
    command = [sys.executable, "-c", program.replace("127.0.0.1:8188", client.address)]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (prompt_id,) = re.findall(r'"prompt_id": "([^"]+)"', answer)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (history := client.get(f"/history/{prompt_id}")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert history[prompt_id]["status"]["status_str"] == "success"
    assert history[prompt_id]["prompt"][2]["10"]["inputs"]["factor"] == 2.0


def test_the_plan_answers_at_the_address_that_it_gives(client: ComfyClient) -> None:
    (path,) = re.findall(r"GET http://127\.0\.0\.1:8188(/\S+?)`", README)
    answer = client.get(path)
    assert [stage["size"] for stage in answer["stages"]][-1] == [4096, 4096] and answer["fit"]
