"""One lane of one rank as a coroutine: what every instruction does. It yields where it would
block.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from distos_coll._vocabulary import Buffer, Opcode, Param
from distos_coll.errors import PlanError
from distos_coll.program.channel import Channel, Recv, Send
from distos_coll.program.evaluate import Values
from distos_coll.program.memory import (
    Algebra,
    Elements,
    ProgramFault,
    View,
    check_overlap,
    check_there,
    load,
    occupy,
    same_place,
    store,
    write,
)
from distos_coll.program.operation import Operation
from distos_coll.program.place import place_text
from distos_coll.program.window import Member, Window


class World(Protocol):
    """What lanes share; the machine."""

    algebra: Algebra
    size: int
    progress: int

    def channel(self, source: int, to: int, lane: int) -> Channel: ...

    def window_of(self, rank: int) -> Window: ...

    def member_of(self, rank: int) -> Member: ...


@dataclass(eq=False)
class _Open:
    """A loop that runs."""

    var: int
    value: int
    stop: int


@dataclass(eq=False)
class Lane:
    world: World
    operation: Operation
    number: int
    finished: bool = False
    _at: int = 0
    _operands: list[int] | None = None
    _loops: list[_Open] = field(default_factory=list)

    def __post_init__(self) -> None:
        operation = self.operation
        self._code = operation.program.lanes[self.number]
        self._match = operation.program.matches[self.number]
        self._values = Values(operation.layout, operation.call.params, operation.call.arrays)
        self._window = self.world.window_of(operation.rank)
        self._me = self.world.member_of(operation.rank)
        self._steps = self._run()

    def resume(self) -> None:
        """Runs until it blocks. ProgramFault names the instruction."""
        try:
            next(self._steps)
        except StopIteration:
            self.finished = True
            self.world.progress += 1
        except ProgramFault:
            raise
        except PlanError as error:
            raise ProgramFault(f"{self.where()}: {error}") from error

    def where(self) -> str:
        operation = self.operation
        return place_text(operation.program, operation.rank, self.number, self._at, self._operands)

    def _run(self) -> Iterator[None]:
        if self.operation.program.registered:
            yield from self._offer()
        while self._at < len(self._code):
            op = self._code[self._at].op
            self._operands = None
            args = self._operands = self._values.operands(self.number, self._at)
            if op is Opcode.GROUP:
                yield from self._group()
            elif op in _CONTROL:
                _CONTROL[op](self, args)
                continue
            elif op in _AT_ONCE:
                _AT_ONCE[op](self, args)
            elif op in _MESSAGES:
                waits = _MESSAGES[op](self, args)
                while not waits():
                    yield
            else:
                yield from _STEPS[op](self, args)
            self.world.progress += 1
            self._at += 1

    # --- control

    def _loop(self, args: list[int]) -> None:
        var, start, stop = args
        if start >= stop:
            self._at = self._match[self._at] + 1
            return
        self._loops.append(_Open(var, start, stop))
        self._values.set_var(var, start)
        self._at += 1

    def _if(self, args: list[int]) -> None:
        self._at = self._at + 1 if args[0] else self._match[self._at] + 1

    def _end(self, _args: list[int]) -> None:
        opener = self._match[self._at]
        if self._code[opener].op is Opcode.LOOP:
            loop = self._loops[-1]
            loop.value += 1
            if loop.value < loop.stop:
                self._values.set_var(loop.var, loop.value)
                self._at = opener + 1
                return
            self._loops.pop()
        self._at += 1

    # --- messages: each returns a question whether it has finished

    def _group(self) -> Iterator[None]:
        end = self._match[self._at]
        waits: list[Callable[[], bool]] = []
        for self._at in range(self._at + 1, end):  # noqa: B020 - `where` must name the transfer
            op = self._code[self._at].op
            args = self._operands = self._values.operands(self.number, self._at)
            if op is Opcode.COPY:
                self._copy(args)
            else:
                waits.append(_MESSAGES[op](self, args))
        while not all(finished() for finished in waits):
            yield
        self._at = end

    def _view(self, buffer: int) -> View:
        return self.operation.views[Buffer(buffer)]

    def _channel(self, source: int, to: int) -> Channel:
        for rank in (source, to):
            if rank >= self.world.size:
                raise PlanError(f"peer {rank} does not exist")
        if source == to:
            raise PlanError("a rank cannot send to itself; use copy")
        return self.world.channel(source, to, self.number)

    def _send(self, args: list[int]) -> Callable[[], bool]:
        peer, buffer, off, n = args
        if peer < 0 or n <= 0:
            return _nothing
        view, where = self._view(buffer), self.where()
        channel = self._channel(self.operation.rank, peer)
        use = occupy(view, off, n, writes=False, what=where)
        send = Send(view, off, n, use, where, lambda: self.operation.knowledge)
        self.world.progress += 1
        channel.post_send(send)
        return lambda: send.finished

    def _recv(self, args: list[int]) -> Callable[[], bool]:
        peer, buffer, off, n = args
        if peer < 0 or n <= 0:
            return _nothing
        view = self._view(buffer)

        def accept(done: int, elements: Elements, knowledge: int) -> None:
            self.operation.knowledge |= knowledge
            write(view.backing, view.base + off + done, elements, self._me)

        return self._post_recv(peer, n, accept, [(view, off, True)])

    def _recv_reduce(self, args: list[int]) -> Callable[[], bool]:
        peer, dst_buffer, dst_off, src_buffer, src_off, n = args
        if peer < 0 or n <= 0:
            return _nothing
        dst, src = self._view(dst_buffer), self._view(src_buffer)
        check_overlap(dst, dst_off, src, src_off, n)
        algebra = self.world.algebra

        def accept(done: int, elements: Elements, knowledge: int) -> None:
            self.operation.knowledge |= knowledge
            start = src.base + src_off + done
            own = algebra.take(src.backing.data, start, start + len(elements))
            result = algebra.reduce([own, elements])
            write(dst.backing, dst.base + dst_off + done, result, self._me)

        uses = [(dst, dst_off, True)]
        if not same_place(dst, dst_off, src, src_off):
            uses.append((src, src_off, False))
        return self._post_recv(peer, n, accept, uses)

    def _post_recv(
        self,
        peer: int,
        n: int,
        accept: Callable[[int, Elements, int], None],
        uses: list[tuple[View, int, bool]],
    ) -> Callable[[], bool]:
        where = self.where()
        channel = self._channel(peer, self.operation.rank)
        occupied = [occupy(view, off, n, writes=writes, what=where) for view, off, writes in uses]
        recv = Recv(n, accept, occupied, where)
        self.world.progress += 1
        channel.post_recv(recv)
        return lambda: recv.finished

    # --- local work

    def _copy(self, args: list[int]) -> None:
        dst, dst_off, src, src_off, n = args
        if n > 0:
            check_overlap(self._view(dst), dst_off, self._view(src), src_off, n)
            if same_place(self._view(dst), dst_off, self._view(src), src_off):
                return
            elements = load(self.world.algebra, self._view(src), src_off, n, self._me)
            store(self._view(dst), dst_off, elements, self._me)

    def _finalize(self, args: list[int]) -> None:
        buffer, off, n = args
        if n > 0:
            elements = load(self.world.algebra, self._view(buffer), off, n, self._me)
            store(self._view(buffer), off, self.world.algebra.finalize(elements), self._me)

    def _fold(self, args: list[int]) -> None:
        first, n, rank, size = args[0], args[5], self.operation.rank, self.world.size
        scratch = self._view(Buffer.SCRATCH)
        if n > 0:
            scratch.span(first, size * n)
            places = [(scratch, first + r * n) for r in range(size)]
            places[rank] = (self._view(args[3]), args[4])
            for place in places:
                check_overlap(self._view(args[1]), args[2], *place, n)
            inputs = [load(self.world.algebra, *place, n, self._me) for place in places]
            result = self.world.algebra.finalize(self.world.algebra.reduce(inputs))
            store(self._view(args[1]), args[2], result, self._me)

    def _signal(self, args: list[int]) -> None:
        self.operation.events[args[0]] += 1

    def _await(self, args: list[int]) -> Iterator[None]:
        event, value = args
        while self.operation.events[event] < value:
            yield

    # --- the window

    def _round(self, _args: list[int]) -> Iterator[None]:
        while not self._window.may_open(self._me):
            yield
        self._window.open(self._me, self.operation.call.params[Param.SLOT])

    def _offer(self) -> Iterator[None]:
        """What a program of registered memory may rely on: all have offered both buffers."""
        yield from self._round([])
        self._window.offer(self._me, self.operation.views)
        self._commit([])
        self.world.progress += 1
        yield from self._await_all([])

    def _put(self, args: list[int]) -> None:
        slot_off, buffer, off, n = args
        if n > 0:
            elements = load(self.world.algebra, self._view(buffer), off, n, self._me)
            self._window.put(self._me, slot_off, elements)

    def _expose(self, args: list[int]) -> None:
        self._window.expose(self._me, self._view(args[0]))

    def _commit(self, _args: list[int]) -> None:
        self._window.commit(self._me, self.operation.knowledge)

    def _wait_for(self, member: Member) -> Iterator[None]:
        self._window.require_round(self._me)
        while not self._window.has_arrived(self._me, member):
            yield
        self.operation.knowledge |= self._window.knowledge_of(self._me, member)

    def _await_all(self, _args: list[int]) -> Iterator[None]:
        for member in self._window.members:
            yield from self._wait_for(member)

    def _pull(self, args: list[int]) -> Iterator[None]:
        index, slot_off, buffer, off, n = args
        if n > 0:
            member = self._window.member(index)
            yield from self._wait_for(member)
            elements = self._window.pull(self._me, member, slot_off, n)
            store(self._view(buffer), off, elements, self._me)

    def _pull_reduce(self, args: list[int]) -> Iterator[None]:
        slot_off = args[0]
        yield from self._reduce_members(
            args, lambda member, n: self._window.pull(self._me, member, slot_off, n)
        )

    def _read(self, args: list[int]) -> Iterator[None]:
        index, remote_off, buffer, off, n = args
        if n > 0:
            member = self._window.member(index)
            yield from self._wait_for(member)
            store(self._view(buffer), off, self._remote(member, remote_off, n), self._me)

    def _read_reduce(self, args: list[int]) -> Iterator[None]:
        remote_off = args[0]
        yield from self._reduce_members(args, lambda member, n: self._remote(member, remote_off, n))

    def _remote(self, member: Member, off: int, n: int) -> Elements:
        shared = self.operation.program.registered
        view = member.offered[Buffer.INPUT] if shared else self._window.exposed_by(self._me, member)
        check_there(view)
        return load(self.world.algebra, view, off, n, self._me)

    def _reduce_to_all(self, args: list[int]) -> None:
        in_off, out_off, n = args
        if n > 0:
            algebra, members = self.world.algebra, self._window.members
            inputs = [self._remote(member, in_off, n) for member in members]
            result = algebra.finalize(algebra.reduce(inputs))
            for member in members:
                store(member.offered[Buffer.OUTPUT], out_off, result, self._me)

    def _reduce_members(
        self, args: list[int], from_member: Callable[[Member, int], Elements]
    ) -> Iterator[None]:
        _, dst, dst_off, src, src_off, n, finalize = args
        if n <= 0:
            return
        yield from self._await_all([])
        check_overlap(self._view(dst), dst_off, self._view(src), src_off, n)
        algebra = self.world.algebra
        inputs = [
            load(algebra, self._view(src), src_off, n, self._me)
            if member is self._me
            else from_member(member, n)
            for member in self._window.members
        ]
        result = algebra.reduce(inputs)
        store(self._view(dst), dst_off, algebra.finalize(result) if finalize else result, self._me)


def _nothing() -> bool:
    return True


_CONTROL: dict[Opcode, Callable[[Lane, list[int]], None]] = {
    Opcode.LOOP: Lane._loop,  # noqa: SLF001 - the table belongs to the class
    Opcode.IF: Lane._if,  # noqa: SLF001
    Opcode.END: Lane._end,  # noqa: SLF001
}
_MESSAGES: dict[Opcode, Callable[[Lane, list[int]], Callable[[], bool]]] = {
    Opcode.SEND: Lane._send,  # noqa: SLF001
    Opcode.RECV: Lane._recv,  # noqa: SLF001
    Opcode.RECV_REDUCE: Lane._recv_reduce,  # noqa: SLF001
}
_AT_ONCE: dict[Opcode, Callable[[Lane, list[int]], None]] = {
    Opcode.COPY: Lane._copy,  # noqa: SLF001
    Opcode.FINALIZE: Lane._finalize,  # noqa: SLF001
    Opcode.FOLD: Lane._fold,  # noqa: SLF001
    Opcode.SIGNAL: Lane._signal,  # noqa: SLF001
    Opcode.PUT: Lane._put,  # noqa: SLF001
    Opcode.EXPOSE: Lane._expose,  # noqa: SLF001
    Opcode.COMMIT: Lane._commit,  # noqa: SLF001
    Opcode.REDUCE_TO_ALL: Lane._reduce_to_all,  # noqa: SLF001
}
_STEPS: dict[Opcode, Callable[[Lane, list[int]], Iterator[None]]] = {
    Opcode.AWAIT: Lane._await,  # noqa: SLF001
    Opcode.ROUND: Lane._round,  # noqa: SLF001
    Opcode.PULL: Lane._pull,  # noqa: SLF001
    Opcode.PULL_REDUCE: Lane._pull_reduce,  # noqa: SLF001
    Opcode.READ: Lane._read,  # noqa: SLF001
    Opcode.READ_REDUCE: Lane._read_reduce,  # noqa: SLF001
    Opcode.AWAIT_ALL: Lane._await_all,  # noqa: SLF001
}
