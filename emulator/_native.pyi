# The compiled core as Python sees it; native/include/sm_api.h says what each call does.
# A pointer argument takes bytes, a pointer made by ffi, or ffi.NULL.
from typing import Any, Final, TypeAlias

class CData: ...

_Bytes: TypeAlias = bytes | CData

class _Ffi:
    NULL: Final[CData]
    def new(self, kind: str, init: Any = ...) -> Any: ...
    def from_buffer(self, kind: str, buffer: Any, require_writable: bool = ...) -> CData: ...
    def buffer(self, data: CData, size: int = ...) -> Any: ...
    def gc(self, data: CData, destructor: Any, size: int = ...) -> CData: ...
    def release(self, data: CData) -> None: ...
    def string(self, data: CData) -> bytes: ...

class _Lib:
    def sm_interface(self) -> int: ...
    def sm_select(self, name: bytes) -> int: ...
    def sm_selected(self) -> CData: ...
    def sm_store_new(self, capacity: int) -> CData: ...
    def sm_store_free(self, store: CData) -> None: ...
    def sm_store_locked(self, store: CData) -> int: ...
    def sm_context_load(
        self,
        store: CData,
        index: int,
        ek: _Bytes,
        ak: _Bytes,
        title: _Bytes,
        peer: _Bytes,
        tx: int,
        rx: int,
        kek: _Bytes,
    ) -> int: ...
    def sm_context_load_suite(
        self,
        store: CData,
        index: int,
        suite: int,
        ek: _Bytes,
        ak: _Bytes,
        title: _Bytes,
        peer: _Bytes,
        tx: int,
        rx: int,
        kek: _Bytes,
    ) -> int: ...
    def sm_context_suite(self, store: CData, index: int) -> int: ...
    def sm_context_install(self, store: CData, index: int, ek: _Bytes, ak: _Bytes, reset: int) -> int: ...
    def sm_context_set_master(self, store: CData, index: int, kek: _Bytes) -> int: ...
    def sm_context_set_peer(self, store: CData, index: int, title: _Bytes) -> int: ...
    def sm_context_set_counters(self, store: CData, index: int, mask: int, tx: int, rx: int) -> int: ...
    def sm_context_loaded(self, store: CData, index: int) -> int: ...
    def sm_context_state(self, store: CData, index: int, out: _Bytes) -> int: ...
    def sm_context_erase(self, store: CData, index: int) -> int: ...
    def sm_context_export(self, store: CData, index: int, out: CData) -> int: ...
    def sm_context_restore(self, store: CData, index: int, blob: _Bytes) -> int: ...
    def sm_seal_one(
        self, store: CData, index: int, control: int, text: _Bytes, length: int, out: _Bytes, room: int
    ) -> int: ...
    def sm_open_one(
        self, store: CData, index: int, control: int, counter: int, text: _Bytes, length: int, out: _Bytes, room: int
    ) -> int: ...
    def sm_gmac_one(self, store: CData, index: int, challenge: _Bytes, length: int, tag: _Bytes) -> int: ...
    def sm_gmac_check(
        self, store: CData, index: int, counter: int, tag: _Bytes, tag_length: int, challenge: _Bytes, length: int
    ) -> int: ...
    def sm_wrap_one(self, store: CData, index: int, key: _Bytes, length: int, out: CData) -> int: ...
    def sm_unwrap_one(self, store: CData, index: int, wrapped: _Bytes, length: int, out: CData) -> int: ...
    def sm_seal_batch(
        self,
        store: CData,
        count: int,
        index: CData,
        control: _Bytes,
        text: _Bytes,
        in_size: int,
        in_offset: CData,
        length: CData,
        out: CData,
        out_size: int,
        out_offset: CData,
        counter: CData,
        status: CData,
    ) -> int: ...
    def sm_open_batch(
        self,
        store: CData,
        count: int,
        index: CData,
        control: _Bytes,
        text: _Bytes,
        in_size: int,
        in_offset: CData,
        length: CData,
        out: CData,
        out_size: int,
        out_offset: CData,
        counter: CData,
        status: CData,
    ) -> int: ...
    def sm_gmac_batch(
        self,
        store: CData,
        count: int,
        index: CData,
        text: _Bytes,
        in_size: int,
        in_offset: CData,
        length: CData,
        out: CData,
        out_size: int,
        out_offset: CData,
        counter: CData,
        status: CData,
    ) -> int: ...
    def sm_wrap_batch(
        self,
        store: CData,
        count: int,
        index: CData,
        text: _Bytes,
        in_size: int,
        in_offset: CData,
        length: CData,
        out: CData,
        out_size: int,
        out_offset: CData,
        status: CData,
    ) -> int: ...
    def sm_unwrap_batch(
        self,
        store: CData,
        count: int,
        index: CData,
        text: _Bytes,
        in_size: int,
        in_offset: CData,
        length: CData,
        out: CData,
        out_size: int,
        out_offset: CData,
        status: CData,
    ) -> int: ...
    def sm_sa_new(
        self, spi: int, key: _Bytes, key_length: int, salt: _Bytes, sequence: int, top: int, window: int
    ) -> CData: ...
    def sm_sa_free(self, sa: CData) -> None: ...
    def sm_esp_seal(
        self, sa: CData, inner: _Bytes, length: int, next_header: int, out: CData, room: int
    ) -> int: ...
    def sm_esp_open(self, sa: CData, packet: _Bytes, length: int, out: CData, room: int) -> int: ...
    def sm_sa_state(self, sa: CData, out: CData) -> int: ...
    def sm_tunnel_set(self, sa: CData, outer: _Bytes, inner: _Bytes) -> int: ...
    def sm_tunnel_seal(
        self,
        sa: CData,
        source: int,
        destination: int,
        source_port: int,
        destination_port: int,
        identification: int,
        frame: _Bytes,
        length: int,
        out: CData,
        room: int,
    ) -> int: ...
    def sm_tunnel_open(self, sa: CData, packet: _Bytes, length: int, out: CData, room: int) -> int: ...
    def sm_gcm_seal(
        self,
        key: _Bytes,
        key_length: int,
        iv: _Bytes,
        aad: _Bytes,
        aad_length: int,
        text: _Bytes,
        length: int,
        out: CData,
        tag_length: int,
    ) -> int: ...
    def sm_gcm_open(
        self,
        key: _Bytes,
        key_length: int,
        iv: _Bytes,
        aad: _Bytes,
        aad_length: int,
        text: _Bytes,
        length: int,
        out: CData,
        tag_length: int,
    ) -> int: ...
    def sm_key_wrap(self, kek: _Bytes, kek_length: int, key: _Bytes, length: int, out: CData) -> int: ...
    def sm_key_unwrap(self, kek: _Bytes, kek_length: int, wrapped: _Bytes, length: int, out: CData) -> int: ...
    def sm_mix(self, key: int, installation: int, number: int) -> int: ...
    def sm_wipe_bytes(self, data: CData, length: int) -> None: ...

ffi: Final[_Ffi]
lib: Final[_Lib]
