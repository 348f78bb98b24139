"""The conductor's side of one peer: its processes, kept alive, and what it tells them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import time
from typing import IO, Any

from bench.peers.launch import PEERS, Job, Unavailable, environment

START_S = 60.0
END_S = 5.0


class PeerLost(Exception):
    """A peer died or did not answer in time; it has been ended."""


class PeerRefused(Exception):
    """A peer has no such call, or its result was wrong; it lives on."""


def _end_with_parent(number: int) -> None:
    ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def _process_at(connection: socket.socket) -> int:
    """Return who is at the other end, as the kernel knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


class Group:
    """All ranks of one peer. `close()` leaves no process behind."""

    def __init__(self, job: Job) -> None:
        self.name = job.peer
        self.title = ""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[socket.socket] = []
        self._readers: list[IO[str]] = []
        self._pids: list[int] = []
        self._said = job.folder / "said"
        launch = PEERS[job.peer](job)
        self.command = " ".join(launch.commands[0])
        try:
            self._start(job, launch.commands, launch.environment, launch.connections)
        except BaseException:
            self.kill()
            raise

    def _start(
        self, job: Job, commands: list[list[str]], more: dict[str, str], connections: int
    ) -> None:
        with socket.socket(socket.AF_UNIX) as listener, self._said.open("wb") as said:
            listener.bind(job.socket)
            listener.listen(connections)
            listener.settimeout(0.2)
            self._processes = [
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env=environment(more),
                    start_new_session=True,
                    # Launchers end their ranks when they are told to.
                    preexec_fn=lambda: _end_with_parent(signal.SIGTERM),
                )
                for command in commands
            ]
            deadline = time.monotonic() + START_S
            while len(self._connections) < connections:
                self._accept(listener, deadline)
        greetings = self._hear(START_S)
        self.title = str(greetings[0]["title"])

    def _accept(self, listener: socket.socket, deadline: float) -> None:
        try:
            connection = listener.accept()[0]
        except TimeoutError:
            ended = [code for each in self._processes if (code := each.poll()) is not None]
            if ended or time.monotonic() > deadline:
                how = f"a process ended with {ended[0]}" if ended else f"not there in {START_S} s"
                raise Unavailable(self._with_words(how)) from None
            return
        self._connections.append(connection)
        self._pids.append(_process_at(connection))
        self._readers.append(connection.makefile("r"))

    def _with_words(self, how: str) -> str:
        lines = self._said.read_text(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip(" -")]
        return f"{how}: {' / '.join(words[-3:])[-400:]}" if words else how

    def ask(self, line: str, timeout: float) -> list[dict[str, Any]]:
        """Tell all ranks a line and return their answers; PeerLost, or PeerRefused."""
        try:
            for connection in self._connections:
                connection.sendall(f"{line}\n".encode())
        except OSError as error:
            raise self._lost(f"{error}") from None
        answers = self._hear(timeout)
        failed = [str(answer["failed"]) for answer in answers if "failed" in answer]
        if len(failed) == len(answers):
            raise PeerRefused(failed[0])
        if failed:
            raise self._lost(f"{len(failed)} of {len(answers)} ranks failed: {failed[0]}")
        return answers

    def _hear(self, timeout: float) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout
        answers = []
        for number, reader in enumerate(self._readers):
            self._connections[number].settimeout(max(0.01, deadline - time.monotonic()))
            try:
                line = reader.readline()
            except OSError as error:
                late = isinstance(error, TimeoutError)
                raise self._lost(f"no answer in {timeout:g} s" if late else str(error)) from None
            if not line:
                raise self._lost("a rank closed its connection")
            answers.append(json.loads(line))
        return answers

    def _lost(self, how: str) -> PeerLost:
        self.kill()
        return PeerLost(self._with_words(how))

    def close(self) -> None:
        """Let the ranks end by themselves; end what does not."""
        with contextlib.suppress(OSError):
            for connection in self._connections:
                connection.sendall(b"end\n")
        deadline = time.monotonic() + END_S
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, deadline - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        if any(process.poll() is None for process in self._processes):
            # Ranks first, by their own numbers: a launcher may have put them elsewhere.
            for pid in self._pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.2)
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in self._readers:
            reader.close()
        for connection in self._connections:
            connection.close()
        self._pids = []
