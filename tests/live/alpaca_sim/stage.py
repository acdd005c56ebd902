"""The stage: the rehearsal server and the trader as processes, started, killed and restarted; both their books."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from core.config import ROOT
from core.live.journal import JournalReader
from core.live.tape import drawn_tape, write_tape

KEY, SECRET = "TESTKEYID0451", "test-secret-f00dfacecafe0451"
FIRST = "2026-03-02"
# Quick to enter, and quick to leave when a test asks for it.
SETTINGS = (
    "strategy.entry.window_start=09:40",
    "live.timeout=1.0",
    "live.lookup_wait=4",
    "live.walk_every=20",
    "strategy.size.max_risk_frac=0.5",
)
QUICK = ("live.walk_steps=1",)  # at natural with the second step


class Stage:
    """One rehearsal. settings: of the trader; scenario: {options, market, faults} of the server.

    mutation: a safeguard that the trader runs without, see sitecustomize.
    """

    def __init__(
        self,
        folder: Path,
        settings=(),
        scenario=None,
        tape=None,
        cash=100_000.0,
        latency_ms=20,
        mutation="",
        stream=False,
    ):
        self.folder, self.mutation, self.stream = folder, mutation, stream
        self.settings = (*SETTINGS, *settings)
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        write_tape(folder / "tape.npz", drawn_tape(FIRST) if tape is None else tape)
        (folder / "scenario.json").write_text(json.dumps(scenario or {}))
        self.cash, self.latency_ms = cash, latency_ms
        self.port = 0
        self.server = None
        self.trader = None
        self.outputs = []
        self.start_server()

    # ------------------------------------------------------------ processes

    def start_server(self):
        command = [
            sys.executable, "-m", "core.live.rehearsal", "--tape", str(self.folder / "tape.npz"),
            "--ledger", str(self.folder / "broker.sqlite"), "--scenario", str(self.folder / "scenario.json"),
            "--cash", str(self.cash), "--port", str(self.port), "--latency-ms", str(self.latency_ms),
        ]  # fmt: skip
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
        hello = json.loads(self.server.stdout.readline())
        self.port, self.token = hello["port"], hello["token"]

    def kill_server(self):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()

    def environment(self, failpoint=""):
        found = environment()
        found.update(
            APCA_API_KEY_ID=KEY,
            APCA_API_SECRET_KEY=SECRET,
            QMTF_ALPACA_URL=f"http://127.0.0.1:{self.port}",
            QMTF_CLOCK_TOKEN=self.token,
            QMTF_LIVE_HOME=str(self.home),
            QMTF_FAILPOINT=failpoint,
            QMTF_MUTATION=self.mutation,
            QMTF_STREAM="1" if self.stream else "",
            PYTHONPATH=os.pathsep.join([str(ROOT / "tests" / "live" / "alpaca_sim"), str(ROOT)]),
        )
        return found

    def any_command(self, *words, timeout=120, **change):
        """Another command of the program; (exit code, its output)."""
        done = subprocess.run(
            [sys.executable, "main.py", *words], capture_output=True, text=True, cwd=ROOT, timeout=timeout,
            env={**self.environment(), **change},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def command(self, *words):
        sets = [part for setting in self.settings for part in ("--set", setting)]
        return [sys.executable, "main.py", "live", *words, *sets]

    def begin(self, until="10:30", days=1, failpoint="", words=(), limits=None):
        """Start the trader and do not wait for it."""
        path = self.folder / f"trader-{len(self.outputs)}.log"
        self.outputs.append(path)
        command = self.command(*words, "--paper", "--debug", "--days", str(days), "--until", until)
        with path.open("w") as log:
            self.trader = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=self.environment(failpoint),
                preexec_fn=limits,
            )
        return self.trader

    def run(self, until="10:30", days=1, failpoint="", timeout=120, limits=None):
        """Run the trader to its end; its exit code (-9: killed)."""
        self.begin(until, days, failpoint, limits=limits)
        return self.trader.wait(timeout)

    def ask(self, *words, timeout=60):
        """Another live command; (exit code, its output)."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, cwd=ROOT, env=self.environment(), timeout=timeout
        )
        self.outputs.append(self.folder / f"ask-{len(self.outputs)}.log")
        self.outputs[-1].write_text(done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def end(self):
        for process in (self.trader, self.server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self.server.stdout.close()

    # ------------------------------------------------------------ the control door

    def control(self, what, body=None, method=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_sim/{what}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Sim-Token": self.token, "Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def fault(self, **rule):
        return self.control("faults", [rule])

    def wait_for(self, condition, seconds=60):
        """Poll the broker's ledger until `condition(ledger)`; whether it came."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if condition(self.ledger()):
                    return True
            except OSError:
                pass
            if self.trader is not None and self.trader.poll() is not None:
                return bool(condition(self.ledger()))
            time.sleep(0.02)
        return False

    # ------------------------------------------------------------ both books

    def ledger(self):
        return self.control("ledger")

    @property
    def account(self):
        return next(self.home.glob("*-paper"))

    def journal(self):
        return JournalReader(self.account / "journal.sqlite")

    def rows(self, query, values=()):
        reader = self.journal()
        try:
            return reader.rows(query, values)
        finally:
            reader.close()

    def get(self, name, default=None):
        reader = self.journal()
        try:
            return reader.get(name, default)
        finally:
            reader.close()

    def text(self):
        return "".join(path.read_text(errors="replace") for path in self.outputs)

    def artifacts(self):
        """Bytes of everything that the trader wrote."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in [*files, *self.outputs])


def environment():
    found = {k: v for k, v in os.environ.items() if not k.startswith(("APCA", "QMTF_", "HTTP_PROXY", "http_proxy"))}
    for name in ("QMTF_CACHE_DIR", "QMTF_NO_JIT"):
        if name in os.environ:
            found[name] = os.environ[name]
    found["PYTHONPATH"] = str(ROOT)
    return found


def ours(order):
    return order["cid"].startswith("qmtf-")


def quick_check(path):
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return db.execute("PRAGMA quick_check").fetchone()[0]
    finally:
        db.close()
