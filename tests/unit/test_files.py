from __future__ import annotations

from pathlib import Path

import pytest

from lstmsim.errors import ConfigError, ModelFormatError
from lstmsim.files import atomic_output, check_keys, read_bounded, read_text, read_toml, write_text


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    write_text(target, "first")
    with pytest.raises(ConfigError, match="--force"):
        write_text(target, "second")
    assert target.read_text() == "first"
    write_text(target, "second", force=True)
    assert target.read_text() == "second"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"mine")
    with pytest.raises(KeyboardInterrupt), atomic_output(target, force=True) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with pytest.raises(ConfigError, match="exists"), atomic_output(target) as stream:
        stream.write(b"ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder"):
        write_text(tmp_path, "x", force=True)
    with pytest.raises(ConfigError, match="cannot write"):
        write_text(tmp_path / "nowhere" / "out.txt", "x")
    with pytest.raises(ModelFormatError, match="cannot read"):
        read_bounded(tmp_path, error=ModelFormatError)


def test_large_files_and_foreign_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        read_bounded(path, limit_bytes=10)
    assert len(read_bounded(path, limit_bytes=11)) == 11
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_text(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_text("a\0b")


def test_toml_that_nests_without_end(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match="TOML"):
        read_toml(path)


def test_unknown_keys_suggest_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'engines'"):
        check_keys({"enginse": 1}, {"engines", "instances"}, "here")
