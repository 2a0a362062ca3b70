"""Stands in for ComfyUI's main.py: the same HTTP answers, behaviour by a word in the prompt's text.

A prompt that it runs is logged beside this file, in runs.log. Words: see Prompt.run. A word that ends with
"-once" acts the first time only.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

HERE = Path(__file__).parent
NODES = ("Load", "KSampler", "CLIPTextEncode", "LoadImage", "SaveImage")
GIVEN = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
"""Variables of its environment that it notes at its start, in starts.log."""
TORCH_OOM = ("torch.OutOfMemoryError", "Allocation on device")
CUDA = ("torch.AcceleratorError", "CUDA error: an illegal memory access was encountered")


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


class Prompts:
    """What was queued, one at a time, and what became of it."""

    def __init__(self):
        self.history = {}
        self._done = []
        self.interrupted = threading.Event()
        self.freed = False
        self._one = threading.Lock()

    def queue(self, prompt_id, prompt, client_id):
        threading.Thread(target=self._run, args=(prompt_id, prompt, client_id), daemon=True).start()

    def _run(self, prompt_id, prompt, client_id):
        with self._one:
            self.interrupted.clear()
            text = prompt["6"]["inputs"]["text"]
            with (HERE / "runs.log").open("a") as log:
                log.write(text + "\n")
            try:
                self._act(text)
                # ComfyUI 0.3.75 tells what it had cached to a client, and else to nobody.
                is_told = "nothing" not in text and (client_id or prompt not in self._done)
                outputs = {"9": {"images": [self._picture(prompt)]}} if is_told else {}
                self._done.append(prompt)
                status = {"status_str": "success", "completed": True, "messages": []}
            except InterruptedError:
                outputs = {}
                status = {"status_str": "error", "messages": [["execution_interrupted", {"node_id": "3"}]]}
            except RuntimeError as error:
                kind, message = error.args
                told = {"exception_type": kind, "exception_message": message, "node_id": "3"}
                outputs = {}
                status = {
                    "status_str": "error",
                    "messages": [["execution_error", told | {"node_type": "KSampler"}]],
                }
            self.history[prompt_id] = {"outputs": outputs, "status": status}

    def _act(self, text):
        for word in text.split():
            name, _, value = word.partition("=")
            if name.endswith("-once"):
                marker = HERE / f"seen-{word}"
                if marker.exists():
                    continue
                marker.touch()
                name = name.removesuffix("-once")
            if name.endswith("-again"):  # not the first time
                marker = HERE / f"seen-{word}"
                if not marker.exists():
                    marker.touch()
                    continue
                name = name.removesuffix("-again")
            if name == "error":
                raise RuntimeError("ValueError", "mat1 and mat2 shapes cannot be multiplied")
            if name == "oom" or (name == "oom-until-free" and not self.freed):
                raise RuntimeError(*TORCH_OOM)
            if name == "cuda":
                raise RuntimeError(*CUDA)
            if name == "die":
                print("about to die", flush=True)
                os._exit(7)
            if name == "kill-worker":
                psutil.Process().parent().parent().kill()  # the keeper's owner
                time.sleep(3600)
            if name == "gate":
                while not (HERE / "open").exists():
                    time.sleep(0.05)
            if name == "sleep":
                self._sleep(float(value))
            if name == "hang":  # deaf to /interrupt
                time.sleep(3600)

    def _sleep(self, seconds):
        if self.interrupted.wait(seconds):
            raise InterruptedError

    def _picture(self, prompt):
        """A file whose bytes tell the whole prompt."""
        folder = Path(option("--output-directory"))
        name = f"stand_in_{time.time_ns()}.png"
        loaded = prompt["10"]["inputs"]["image"]
        picture = (Path(option("--input-directory")) / loaded).read_bytes()
        (folder / name).write_bytes(json.dumps(prompt, sort_keys=True).encode() + picture)
        return {"filename": name, "subfolder": "", "type": "output"}


PROMPTS = Prompts()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the whole answer in one packet
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _answer(self, body, status=200):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def do_GET(self):
        if self.path == "/system_stats":
            system = {"argv": sys.argv, "comfyui_version": "stand-in"}
            self._answer(
                {"system": system, "devices": [{"type": "cuda", "vram_total": 100, "vram_free": 40}]}
            )
        elif self.path == "/object_info":
            self._answer({name: {} for name in NODES})
        else:
            prompt_id = self.path.split("/")[-1]
            entry = PROMPTS.history.get(prompt_id)
            self._answer({} if entry is None else {prompt_id: entry})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/prompt":
            self._prompt(body)
            return
        if self.path == "/interrupt":
            PROMPTS.interrupted.set()
        if self.path == "/free":
            PROMPTS.freed = True
        if self.path == "/history":
            for prompt_id in body["delete"]:
                PROMPTS.history.pop(prompt_id, None)
        self._answer({})

    def _prompt(self, body):
        text = body["prompt"]["6"]["inputs"]["text"]
        if "refuse" in text.split():
            wrong = {"message": "Value not in list", "details": "ckpt: 'a' not in []"}
            error = {"message": "Prompt outputs failed validation", "details": ""}
            self._answer({"error": error, "node_errors": {"1": {"errors": [wrong]}}}, 400)
            return
        PROMPTS.queue(body["prompt_id"], body["prompt"], body.get("client_id"))
        self._answer({"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}})


if __name__ == "__main__":
    with (HERE / "starts.log").open("a") as log:
        log.write(json.dumps({name: os.environ.get(name) for name in GIVEN}) + "\n")
    if (HERE / "broken").exists():
        sys.exit("No module named 'torch'")
    ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()
