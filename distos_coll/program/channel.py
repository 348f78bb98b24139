"""Message streams of the machine: one for each (source, destination, lane), ordered and bounded."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from distos_coll.errors import PlanError
from distos_coll.program.memory import Algebra, Elements, ProgramFault, Use, View


@dataclass(eq=False)
class Send:
    view: View
    off: int
    length: int
    use: Use
    where: str
    knowledge: Callable[[], int]
    """Which ranks the sender has heard of, for barriers."""
    done: int = 0

    @property
    def finished(self) -> bool:
        return self.done == self.length


@dataclass(eq=False)
class Recv:
    length: int
    accept: Callable[[int, Elements, int], None]
    """Offset in the message, elements, knowledge of the sender."""
    uses: list[Use]
    where: str
    done: int = 0

    @property
    def finished(self) -> bool:
        return self.done == self.length


@dataclass(eq=False)
class Channel:
    algebra: Algebra
    credit: int
    """Elements that may be under way; 0 makes every send wait for its receiver."""
    sends: deque[Send] = field(default_factory=deque)
    recvs: deque[Recv] = field(default_factory=deque)
    under_way: deque[tuple[Elements, int]] = field(default_factory=deque)
    n_under_way: int = 0
    sent: list[tuple[int, str]] = field(default_factory=list)
    received: list[tuple[int, str]] = field(default_factory=list)

    def post_send(self, send: Send) -> None:
        self.sends.append(send)
        self._match(self.sent, self.received, send.length, send.where)
        self._pump()

    def post_recv(self, recv: Recv) -> None:
        self.recvs.append(recv)
        self._match(self.received, self.sent, recv.length, recv.where)
        self._pump()

    @staticmethod
    def _match(
        mine: list[tuple[int, str]], theirs: list[tuple[int, str]], length: int, where: str
    ) -> None:
        number = len(mine)
        mine.append((length, where))
        if number < len(theirs) and theirs[number][0] != length:
            other_length, other = theirs[number]
            raise PlanError(f"has length {length}, but its other side, {other}, has {other_length}")

    def _pump(self) -> None:
        while self._deliver() or self._accept():
            pass

    def _deliver(self) -> bool:
        """Moves what is under way into the oldest receive."""
        if not self.recvs or not self.under_way:
            return False
        recv = self.recvs[0]
        elements, knowledge = self.under_way.popleft()
        n = min(len(elements), recv.length - recv.done)
        if n < len(elements):
            self.under_way.appendleft((elements[n:], knowledge))
        self.n_under_way -= n
        try:
            recv.accept(recv.done, elements[:n], knowledge)
        except PlanError as error:
            raise ProgramFault(f"{recv.where}: {error}") from error
        recv.done += n
        if recv.finished:
            for use in recv.uses:
                use.release()
            self.recvs.popleft()
        return True

    def _accept(self) -> bool:
        """Takes from the oldest send what credit, or a receiver that is waiting, allows."""
        if not self.sends:
            return False
        send = self.sends[0]
        waiting = self.recvs[0].length - self.recvs[0].done if self.recvs else 0
        n = min(send.length - send.done, max(self.credit, waiting) - self.n_under_way)
        if n <= 0:
            return False
        start = send.view.base + send.off + send.done
        try:
            elements = self.algebra.take(send.view.backing.data, start, start + n)
        except PlanError as error:
            raise ProgramFault(f"{send.where}: {error}") from error
        self.under_way.append((elements, send.knowledge()))
        self.n_under_way += n
        send.done += n
        if send.finished:
            send.use.release()
            self.sends.popleft()
        return True
