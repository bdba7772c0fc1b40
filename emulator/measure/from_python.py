"""The cases a Python program meets: our three ways in, beside `cryptography`, on 64 bytes under random keys.

For `cryptography` nonces are made beforehand, and a meter's key and associated data are found in a list by its number
(our store makes and finds them itself, inside the figure). A key is given as bytes each time, because 150,000 AESGCM
objects take 365 MB. A 12-byte tag can be opened by the `Cipher` interface alone: `AESGCM.decrypt` takes only 16.
"""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from emulator.crypto import backend
from emulator.crypto.keys import PROTECTED, BatchBuffers, ContextStore
from emulator.crypto.layout import TAG_BYTES, slot
from emulator.errors import EmulatorError

MESSAGES: Final = 4096
SIZE: Final = 64
SLOW_MESSAGES: Final = 1024
"""Messages of a sample for the ways that cost microseconds each."""
BUSY: Final = 0.9
"""Threads that got less of a processor each than this, from the first start to the last end, are no measure of them."""
_BATCHES: Final = 16 if backend() == "native" else 1
_METER, _CLIENT = b"BENCHMET", b"BENCHCLI"

BUFFERS_SEAL, BUFFERS_OPEN = ("python buffers", "seal"), ("python buffers", "open")
LISTS_SEAL, LISTS_OPEN = ("python lists", "seal"), ("python lists", "open")
ONE_SEAL, ONE_OPEN = ("python one call", "seal"), ("python one call", "open")
AESGCM_SEAL = ("cryptography AESGCM(key)", "seal")
CIPHER_OPEN = ("cryptography Cipher", "open")


class Threads(NamedTuple):
    """Two threads on two stores against one: messages a second over messages a second, and whether both had a core."""

    ratio: float
    busy: bool


def _timed(call: Callable[[], object], messages: int) -> float:
    """ns of thread CPU time a message."""
    began = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - began) / messages


class PythonCases:
    """Two sides of `keys` security contexts (1 to 2^24), and one batch of messages between them."""

    def __init__(self, keys: int, seed: int = 1) -> None:
        self.chance = Random(seed)  # noqa: S311  no key of anyone: a measurement repeats itself
        self.keys = keys
        pairs = [(self.chance.randbytes(16), self.chance.randbytes(16)) for _ in range(keys)]
        self.device, self.client = ContextStore(keys), ContextStore(keys)
        self.meters = [(ek, bytes([PROTECTED]) + ak) for ek, ak in pairs]
        """Key and associated data, for who has no store."""
        for index, (ek, ak) in enumerate(pairs):
            self.device.load(index, ek=ek, ak=ak, title=_METER, peer=_CLIENT)
            self.client.load(index, ek=ek, ak=ak, title=_CLIENT, peer=_METER)
        room = MESSAGES * (SIZE + TAG_BYTES)
        self.sealing, self.opening = BatchBuffers(MESSAGES, room), BatchBuffers(MESSAGES, room)
        self.texts = [self.chance.randbytes(SIZE) for _ in range(MESSAGES)]
        self.nonces = [_METER + k.to_bytes(4, "big") for k in range(MESSAGES)]
        self.sealing.fill([0] * MESSAGES, self.texts, PROTECTED)
        self.opening.fill([0] * MESSAGES, [bytes(SIZE + TAG_BYTES)] * MESSAGES, PROTECTED)

    def drawn(self) -> list[int]:
        """A context at random for each message of a batch."""
        return [self.chance.randrange(self.keys) for _ in range(MESSAGES)]

    def check(self) -> int:
        """Hold a batch to `cryptography`: the same bytes, and changed ones refused; how many messages were compared."""
        indices = self.drawn()
        sealed = self.device.seal_batch(indices, PROTECTED, self.texts)
        for index, text, answer in zip(indices, self.texts, sealed, strict=True):
            if isinstance(answer, EmulatorError):
                raise answer
            counter, body = answer
            key, aad = self.meters[index]
            iv = _METER + counter.to_bytes(4, "big")
            if AESGCM(key).encrypt(iv, text, aad)[: len(text) + TAG_BYTES] != body:
                raise EmulatorError("the core seals otherwise than `cryptography`; nothing is measured")
        pairs = [answer for answer in sealed if not isinstance(answer, EmulatorError)]
        counters = [counter for counter, _ in pairs]
        bent = [body[:k % len(body)] + bytes([body[k % len(body)] ^ 1]) + body[k % len(body) + 1 :]
                for k, (_, body) in enumerate(pairs)]  # fmt: skip
        refused = self.client.open_batch(indices, PROTECTED, counters, bent)
        if not all(isinstance(answer, EmulatorError) for answer in refused):
            raise EmulatorError("the core opens a changed message; nothing is measured")
        if self.client.open_batch(indices, PROTECTED, counters, [body for _, body in pairs]) != self.texts:
            raise EmulatorError("the core does not open what it sealed; nothing is measured")
        return len(indices)

    def one_round(self) -> dict[tuple[str, str], float]:
        """ns a message of every way in, once; contexts are drawn anew for each."""
        found: dict[tuple[str, str], float] = {}
        found[BUFFERS_SEAL], found[BUFFERS_OPEN] = self._buffers()
        found[LISTS_SEAL], found[LISTS_OPEN] = self._lists()
        found[ONE_SEAL], found[ONE_OPEN] = self._single()
        found[AESGCM_SEAL], found[CIPHER_OPEN] = self._cryptography()
        return found

    def _buffers(self) -> tuple[float, float]:
        sealing, opening = self.sealing, self.opening
        contexts = np.array(self.drawn(), np.uint32)
        np.frombuffer(sealing.contexts, np.uint32)[:] = contexts
        sealed = _timed(lambda: self.device.seal_buffers(sealing, MESSAGES), MESSAGES)
        np.frombuffer(opening.contexts, np.uint32)[:] = contexts
        opening.counters[:] = sealing.counters
        packed = np.frombuffer(sealing.output, np.uint8)[: MESSAGES * slot(SIZE)].reshape(MESSAGES, slot(SIZE))
        whole = packed[:, : SIZE + TAG_BYTES].reshape(-1)
        np.frombuffer(opening.input, np.uint8)[: len(whole)] = whole
        opened = _timed(lambda: self.client.open_buffers(opening, MESSAGES), MESSAGES)
        if any(sealing.statuses) or any(opening.statuses):
            raise EmulatorError("not every message of a batch went well; its figure would mean nothing")
        return sealed, opened

    def _lists(self) -> tuple[float, float]:
        indices = self.drawn()
        began = time.thread_time_ns()
        sealed = self.device.seal_batch(indices, PROTECTED, self.texts)
        ended = time.thread_time_ns()
        pairs = [answer for answer in sealed if not isinstance(answer, EmulatorError)]
        counters, bodies = [counter for counter, _ in pairs], [body for _, body in pairs]
        del sealed, pairs
        opened = _timed(lambda: self.client.open_batch(indices, PROTECTED, counters, bodies), MESSAGES)
        return (ended - began) / MESSAGES, opened

    def _single(self) -> tuple[float, float]:
        indices = self.drawn()[:SLOW_MESSAGES]
        open_one = self.client.open
        began = time.thread_time_ns()
        sealed = self.seal_singly(indices)
        ended = time.thread_time_ns()
        for_open = list(zip(indices, sealed, strict=True))
        opened = _timed(
            lambda: [open_one(index, PROTECTED, counter, body) for index, (counter, body) in for_open], SLOW_MESSAGES
        )
        return (ended - began) / SLOW_MESSAGES, opened

    def seal_singly(self, indices: list[int]) -> list[tuple[int, bytes]]:
        """A call a message of ours: (counter, sealed)."""
        seal = self.device.seal
        return [seal(index, PROTECTED, text) for index, text in zip(indices, self.texts, strict=False)]

    def seal_by_aesgcm(self, indices: list[int]) -> list[bytes]:
        """A call a message of `cryptography`'s, with a key given each time."""
        meters, sealed = self.meters, []
        for index, iv, text in zip(indices, self.nonces, self.texts, strict=False):
            key, aad = meters[index]
            sealed.append(AESGCM(key).encrypt(iv, text, aad))
        return sealed

    def _cryptography(self) -> tuple[float, float]:
        meters, indices = self.meters, self.drawn()[:SLOW_MESSAGES]
        began = time.thread_time_ns()
        sealed = self.seal_by_aesgcm(indices)
        ended = time.thread_time_ns()

        def opened() -> None:
            for index, iv, body in zip(indices, self.nonces, sealed, strict=False):
                key, aad = meters[index]
                mode = GCM(iv, body[SIZE : SIZE + TAG_BYTES], min_tag_length=TAG_BYTES)
                decryptor = Cipher(AES(key), mode).decryptor()
                decryptor.authenticate_additional_data(aad)
                decryptor.update(body[:SIZE])
                decryptor.finalize()

        return (ended - began) / SLOW_MESSAGES, _timed(opened, SLOW_MESSAGES)

    def threads(self) -> Threads:
        """Batches of one thread, then as many each of two at once, each on a store of its own; wall time."""
        np.frombuffer(self.opening.contexts, np.uint32)[:] = np.array(self.drawn(), np.uint32)
        pairs = ((self.device, self.sealing), (self.client, self._second()))
        alone, alone_busy = self._at_once(pairs[:1])
        both, both_busy = self._at_once(pairs)
        return Threads(2 * alone / both, min(alone_busy, both_busy) >= BUSY)

    def _second(self) -> BatchBuffers:
        made = BatchBuffers(MESSAGES, MESSAGES * SIZE)
        made.fill(self.drawn(), self.texts, PROTECTED)
        return made

    def _at_once(self, pairs: tuple[tuple[ContextStore, BatchBuffers], ...]) -> tuple[float, float]:
        """(seconds from the first start to the last end, the share of as many processors that was had in them)."""
        barrier = threading.Barrier(len(pairs))
        spans: list[tuple[float, float, float]] = []

        def work(store: ContextStore, batch: BatchBuffers) -> None:
            store.seal_buffers(batch, MESSAGES)
            barrier.wait()
            began, cpu = time.perf_counter(), time.thread_time()
            for _ in range(_BATCHES):
                store.seal_buffers(batch, MESSAGES)
            ended = time.perf_counter()
            spans.append((began, ended, time.thread_time() - cpu))

        workers = [threading.Thread(target=work, args=pair) for pair in pairs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wall = max(end for _, end, _ in spans) - min(begin for begin, _, _ in spans)
        return wall, sum(cpu for _, _, cpu in spans) / (len(spans) * wall)

    def close(self) -> None:
        """Wipe both stores."""
        self.device.close()
        self.client.close()
