"""Pickles that mean harm are refused, and those that numpy writes are read as the standard library reads them."""

from __future__ import annotations

import builtins
import codecs
import itertools
import os
import pickle
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.data.safe_pickle import PickleSettings, RefusedPickleError, loads

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments, state=None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


def written(text: str) -> bytes:
    return text.encode()


def a_shape_of(shape: tuple, raw: bytes = b"", letters: str = "f4") -> bytes:
    """An array of that shape with these bytes, as numpy writes one."""
    state = (1, shape, np.dtype(letters), False, raw)
    return pickle.dumps(Calls(np.core.multiarray._reconstruct, np.ndarray, (0,), b"b", state=state))


def nested(depth: int, opened: bytes, closed: bytes) -> bytes:
    return opened * depth + closed * depth + b"."


def doubled(depth: int) -> bytes:
    """A tuple of itself twice, `depth` times: 2**depth leaves, used as a key of a dict."""
    return b"}" + b"N" + b"q\x00h\x00\x86" * depth + b"K\x01s."


PROTO = b"\x80\x04"
HOSTILE = {
    "os.system": pickle.dumps(Calls(os.system, "touch ran")),
    "os.system, text": written("cos\nsystem\n(S'touch ran'\ntR."),
    "os.system, unicode": written("cposix\nsystem\n(Vtouch ran\ntR."),
    "builtins.eval": pickle.dumps(Calls(eval, "open('ran', 'w')")),
    "builtins.exec": pickle.dumps(Calls(exec, "open('ran', 'w')")),
    "builtins.open": pickle.dumps(Calls(open, "ran", "w")),
    "getattr": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")),
    "getattr on numpy": pickle.dumps(Calls(getattr, np.ndarray, "tofile")),
    "dotted name": PROTO + b"\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
    "dotted name, text": written("cnumpy\nndarray.tofile\n."),
    "module inside of a name": written("cnumpy.core.multiarray\nos.system\n."),
    "numpy.load": written("cnumpy\nload\n(Vran\ntR."),
    "numpy testing runs text": written("cnumpy.testing._private.utils\nrunstring\n(Vopen('ran','w')\n}tR."),
    "numpy.fromfile": pickle.dumps(Calls(np.fromfile, "/etc/hostname")),
    "nested REDUCE": pickle.dumps(Calls(np.dtype, Calls(eval, "open('ran','w')"))),
    "hidden behind good records": pickle.dumps({"a_0": {"eyecode": np.zeros(6)}, "a_1": Calls(os.system, "touch ran")}),
    "name in a list": pickle.dumps([np.ndarray]),
    "name as a value": pickle.dumps({"a": np.ndarray}),
    "result is a name": pickle.dumps(np.ndarray),
    "name from the memo": PROTO + b"\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x09touch ran\x85R.",
    "name that is no text": PROTO + b"K\x01K\x02\x93.",
    "calls the result of a call": written("cnumpy\ndtype\n(Vf4\ntR(Vf4\ntR."),
    "calls a text": written("Vf4\n(tR."),
    "arguments that are no tuple": written("cnumpy\ndtype\n]R."),
    "ndarray called": pickle.dumps(Calls(np.ndarray, (10**6,))),
    "OBJ": written("(cos\nsystem\nVtouch ran\no."),
    "INST": written("(Vtouch ran\nios\nsystem\n."),
    "NEWOBJ": PROTO + b"\x8c\x05numpy\x8c\x07ndarray\x93)\x81.",
    "NEWOBJ_EX": PROTO + b"\x8c\x05numpy\x8c\x07ndarray\x93)}\x92.",
    "persistent id": PROTO + b"K\x01Q.",
    "persistent id, text": written("Pmodule\n."),
    "extension registry": PROTO + b"\x82\x01.",
    "buffer out of band": b"\x80\x05\x97.",
    "BUILD with a dict": written("(d(dV__class__\nVx\nsb."),
    "BUILD on a dict": b"}(NNNNtb.",
    "BUILD on a name": written("cnumpy\nndarray\n") + b"(NNNNtb.",
    "BUILD on an array": a_shape_of((1,), b"\0" * 4)[:-1] + b"(NNNNNtb.",
    "set": pickle.dumps({1, 2}),
    "frozenset": pickle.dumps(frozenset({1})),
    "object of a class": pickle.dumps(Fraction(1, 3)),
    "path": pickle.dumps(Path("x")),
    "objects in an array": pickle.dumps(np.array([Calls(os.system, "touch ran")], dtype=object)),
    "plain objects in an array": pickle.dumps(np.array([None, "a"], dtype=object)),
    "records in an array": pickle.dumps(np.zeros(3, [("a", "f4"), ("b", "O")])),
    "texts in an array": pickle.dumps(np.array(["a", "b"])),
    "times in an array": pickle.dumps(np.array(["2020-01-01"], "M8[D]")),
    "subclass of an array": pickle.dumps(np.ma.zeros(3)),
    "type with fields put in later": pickle.dumps(
        Calls(np.dtype, "f4", False, True, state=(3, "<", None, ("a",), {"a": (np.dtype("f4"), 0)}, 4, 1, 63))
    ),
    "bools that are none": a_shape_of((2,), b"\x01\x07", "b1"),
    "absurd shape": a_shape_of((10**9,)),
    "absurd shape of some bytes": a_shape_of((10**6, 10**6), b"\0" * 4000),
    "shape that wraps around": a_shape_of((2**62, 4), b""),
    "shape below nothing": a_shape_of((-1, -1), b"\0\0\0\0"),
    "fewer bytes than the shape": a_shape_of((10,), b"\0" * 36),
    "many axes": a_shape_of((1,) * 40, b"\0" * 4),
    "announced with a shape": pickle.dumps(Calls(np.core.multiarray._reconstruct, np.ndarray, (10**12,), b"d")),
    "announced, not filled": pickle.dumps(Calls(np.core.multiarray._reconstruct, np.ndarray, (0,), b"b")),
    "other coding": written("c_codecs\nencode\n(V" + "a" * 99 + "\nVzlib\ntR."),
    "length beyond the file": PROTO + b"\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    "bytearray beyond the file": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.",
    "text beyond the file": PROTO + b"\x8d" + struct.pack("<Q", 2**62) + b"abc.",
    "frame beyond the file": PROTO + b"\x95" + struct.pack("<Q", 2**62) + b"N",
    "key that takes for ever": doubled(200),
    "number of many digits": b"I" + b"9" * 10000 + b"\n.",
    "pops what is not there": b"0.",
    "mark that is not there": b"t.",
    "memo that is not there": b"h\x07.",
    "two results": b"NN.",
    "ends inside a list": b"](N.",
    "no end": b"N",
}


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_refused_before_anything_runs(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        codecs.lookup("raw-unicode-escape")  # of pickle's texts; its first use imports its module, which calls exec
        called, message, modules = [], None, set(sys.modules)
        with monkeypatch.context() as patch:
            for module, function in ((os, "system"), (builtins, "eval"), (builtins, "exec")):
                patch.setattr(module, function, lambda *arguments, **_: called.append(arguments))
            try:
                loads(HOSTILE[name])
            except RefusedPickleError as error:
                message = str(error)
        assert called == []
        assert set(sys.modules) == modules
        assert message is not None, "it was read"
        assert "\n" not in message
        assert len(message) < 300
        assert list(tmp_path.iterdir()) == []

    def test_the_standard_library_would_have_run_them(self, tmp_path, monkeypatch):
        """The examples are live: each of these does what it says when `pickle` loads it."""
        monkeypatch.chdir(tmp_path)
        for name in ("os.system", "os.system, text", "builtins.eval", "builtins.open", "nested REDUCE", "INST"):
            code = f"import pickle; pickle.loads({HOSTILE[name]!r})"
            subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
            assert (tmp_path / "ran").exists(), name
            (tmp_path / "ran").unlink()

    def test_memory_is_bounded_by_the_file(self):
        """In a process that may have 1 GiB: files of a few bytes that ask for far more."""
        names = [n for n in HOSTILE if any(word in n for word in ("shape", "beyond", "announced", "memo", "for ever"))]
        assert len(names) > 10
        data = [HOSTILE[name] for name in names] + [PROTO + b"Nr\xff\xff\xff\x7f0."]  # and a memo with a hole
        code = f"""
import numpy, resource
from core.data.safe_pickle import RefusedPickleError, loads
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
for data in {data!r}:
    try:
        loads(data)
    except RefusedPickleError as error:
        assert "MemoryError" not in str(error), data
"""
        root = Path(__file__).parent.parent
        done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True, text=True,
                              env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})  # fmt: skip
        assert done.returncode == 0, done.stderr

    def test_too_many_instructions(self):
        few = PickleSettings(max_operations=1000)
        assert loads(b"(" + b"N" * 900 + b"l.", few) == [None] * 900
        with pytest.raises(RefusedPickleError, match="instructions"):
            loads(b"(" + b"N" * 1000 + b"l.", few)

    def test_deep_nesting_and_circles_are_only_data(self):
        assert type(loads(b"]" * 100_000 + b"a" * 99_999 + b".")) is list
        circle = loads(b"]q\x00h\x00a.")
        assert circle[0] is circle

    def test_every_flipped_byte_is_data_or_refused(self):
        """Damage of any kind ends in an answer or in a refusal, never in another exception."""
        good = pickle.dumps({"a_0": {"expcode": np.arange(4, dtype=np.float32), "n": np.int64(3), "t": (1, "x")}})
        for place, value in itertools.product(range(len(good)), (0, 1, 0x28, 0x2E, 0x52, 0x62, 0x7F, 0x93, 0xFF)):
            try:
                loads(good[:place] + bytes([value]) + good[place + 1 :])
            except RefusedPickleError:
                continue


class TestGood:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_as_the_standard_library_reads_it(self, protocol):
        array = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
        shared = [1, 2.5, None]
        value = {
            "c": array,
            "fortran": np.asfortranarray(array[0]),
            "strided": array[:, ::2, ::-1],
            "big end": np.arange(5, dtype=">i4"),
            "half": np.linspace(0, 1, 7, dtype=np.float16),
            "bools": np.array([[True], [False]]),
            "scalar array": np.array(3.5),
            "number": np.float32(1.5),
            "plain": {"list": shared, "again": shared, "tuple": (), "nested": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))},
            "numbers": [0, 255, 65535, -1, 2**31, 2**70, -(2**70), True, False, 1e300, -0.0],
            "texts": ["", "a", "ä€𝄞", "x" * 300],
            7: "a number as a key",
        }
        if protocol > 2:  # below, empty bytes and long ones are calls
            value["bytes"] = [b"", b"abc", b"z" * 300]
        got = loads(pickle.dumps(value, protocol))
        expected = pickle.loads(pickle.dumps(value, protocol))
        assert list(got) == list(expected)
        for key, right in expected.items():
            if isinstance(right, np.ndarray | np.generic):
                np.testing.assert_array_equal(got[key], right)
                assert got[key].dtype == right.dtype.newbyteorder("=")  # protocol 5 keeps the file's byte order
                assert type(got[key]) is type(right)
            else:
                assert got[key] == right
        assert got["plain"]["list"] is got["plain"]["again"]

    def test_names_of_numpy_2(self):
        """Numpy 2 has renamed the module that its pickles name."""
        written = pickle.dumps(np.arange(3, dtype=np.float32), 3)
        renamed = written.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
        assert renamed != written
        np.testing.assert_array_equal(loads(renamed), [0, 1, 2])
