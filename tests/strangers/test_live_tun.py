"""A kernel's own TCP, UDP and ICMP against the hosts behind a TUN device: nobody's stack but Linux's judges ours."""

import json
import sys
import time
from pathlib import Path

import pytest
from namespace_kit import Lab

pytestmark = [pytest.mark.stranger, pytest.mark.slow]

SMETS1 = [sys.executable, "-c", "from emulator.cli import main; main()"]

USER = """
import json, socket, sys
sys.path[:0] = [sys.argv[1]]
import served_kit
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dlms.client import Client
device = json.loads(sys.argv[2])
host = device["inner"]
ask = WRAPPER.build(Wrapper(16, 2, Client().associate(b"")))
with served_kit.Caller(host, 4059) as caller:  # a managed association, and requests in pieces
    client = caller.managed(device)
    for _ in range(20):
        caller.talk(client, 1, device["server_sap"], client.get(served_kit.services.INVOCATION_COUNTER))
with served_kit.Caller(host, 4059) as caller:  # a byte at a time, then many at once
    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in ask:
        caller.socket.sendall(bytes([byte]))
    assert caller.hear().payload[0] == 0x61
    caller.socket.sendall(ask * 20)
    assert all(caller.hear().payload[0] == 0x61 for _ in range(20))
    caller.socket.shutdown(socket.SHUT_WR)
    assert caller.socket.recv(1) == b"", "it finishes when we have"
with served_kit.Caller(host, 4059) as caller:
    caller.socket.sendall(b"GET / HTTP/1.1" + bytes(20))
    try:
        assert caller.socket.recv(1) == b""
    except ConnectionResetError:
        pass
for port, error in ((4060, ConnectionRefusedError),):
    try:
        socket.create_connection((host, port), 10)
    except error:
        print("refused")
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(10)
probe.connect((host, 53))
probe.send(b"?")
try:
    probe.recv(1)
except ConnectionRefusedError:
    print("unreachable")
"""


def test_a_kernel_reaches_homes_through_a_device(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        home = lab.add("home")
        served = home.start([*SMETS1, "serve", "--port", "0", "--tun", "meters"], "served")
        end = time.monotonic() + 60
        while '"ready"' not in (found := home.read("served")):
            assert time.monotonic() < end, found
            assert served.alive(), found
            time.sleep(0.1)
        commands = home.run([*SMETS1, "link", "config", "--peer", "tun", "--device", "meters"]).stdout
        home.ip(*(line.removeprefix("ip ") for line in commands.splitlines() if line.startswith("ip ")))
        home.run("ping -q -c 2 -i 0.1 -W 10 -s 3000 10.128.0.15")
        keys = home.run([*SMETS1, "keys", "--installation", "6", "--json"]).stdout
        device = next(each for each in json.loads(keys)["devices"] if each["kind"] == "electricity")
        device["inner"] = "10.128.0.6"
        kit = str(Path(__file__).parents[1] / "shell")
        said = home.run([sys.executable, "-c", USER, kit, json.dumps(device)]).stdout
        assert said.split() == ["refused", "unreachable"]
        served.stop()
        assert "shell.fault" not in home.read("served")
