import numpy as np
import pytest
from astropy.io import fits
from plain import Plain, cards, noise, write

from potpyri_like.errors import PixelError
from potpyri_like.night import scan
from potpyri_like.store import datasum, read_header, read_raw
from potpyri_like.store.sums import agrees_with_checksum, sums_written

BLOCK = 2880


def changed(path, at, bit=0x10):
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)
    return path


def images(path, **more):
    return read_raw(path, lambda header: [header.image], **more)[1]


def test_the_sums_of_astropys_files_are_right(tmp_path):
    path = write(tmp_path / "a.fits", checksum=True)
    content = path.read_bytes()
    data, checksum = sums_written(content[:BLOCK])
    assert data == datasum(content[BLOCK:]) and checksum
    assert agrees_with_checksum([datasum(content[:BLOCK]), data])
    assert agrees_with_checksum([datasum(content)])


def test_a_sum_may_be_taken_in_parts(rng):
    content = rng.integers(0, 256, 4 * BLOCK).astype(np.uint8).tobytes()
    assert datasum(content[BLOCK:], total=datasum(content[:BLOCK])) == datasum(content)
    assert datasum(content[:-2]) == datasum(content[:-2] + bytes(2))


@pytest.mark.parametrize("packed", [False, True])
def test_a_flipped_bit_in_any_plane_of_a_cube_shows_in_each(tmp_path, packed, rng):
    cube = rng.integers(0, 60000, (4, 30, 40)).astype(np.uint16)
    path = write(tmp_path / ("cube.fits.gz" if packed else "cube.fits"), cube, checksum=True)
    for plane in range(4):
        np.testing.assert_array_equal(images(path, plane=plane)[0], cube[plane])
    if not packed:
        changed(path, BLOCK + 2 * 30 * 40 * 2 + 11)
        for plane in range(4):
            with pytest.raises(PixelError, match=r"cube\.fits: the pixels of HDU 0 do not match DATASUM"):
                images(path, plane=plane)


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "HCOMPRESS_1"])
def test_a_flipped_bit_in_a_compressed_image_shows(tmp_path, method):
    path = tmp_path / "a.fits.fz"
    unit = fits.CompImageHDU(noise().astype(np.int16), cards(), compression_type=method)
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path, checksum=True)
    np.testing.assert_array_equal(images(path)[1], noise())
    with fits.open(path, disable_image_compression=True) as hdus:
        where = hdus[1].fileinfo()
    changed(path, where["datLoc"] + 700)
    with pytest.raises(PixelError, match=r"a\.fits\.fz: .*(HDU 1 do not match DATASUM|cannot be read)"):
        images(path)


def test_a_checksum_alone_is_verified_with_the_header(tmp_path):
    path = write(tmp_path / "a.fits", checksum=True)
    head, data = path.read_bytes()[:BLOCK], path.read_bytes()[BLOCK:]
    at = head.index(b"DATASUM ")
    without = (head[:at] + head[at + 80 :]).ljust(BLOCK)
    path.write_bytes(without + data)
    with pytest.raises(PixelError, match="do not match its CHECKSUM"):
        images(path)


@pytest.mark.parametrize("says", ["0", "0000000000000000", ""])
def test_a_checksum_that_was_not_filled_says_nothing(tmp_path, says):
    path = write(tmp_path / "a.fits", header=cards(CHECKSUM=says))
    np.testing.assert_array_equal(images(path)[0], noise())
    assert read_header(path).altered == ()


# -- headers that were changed -------------------------------------------------------------------------------


def night(folder, altered, n=8):
    for i in range(n):
        path = write(folder / f"light_{i}.fits", noise(seed=i), cards(seconds=70 * i), checksum=True)
        if i in altered:
            content = path.read_bytes()
            path.write_bytes(content.replace(b"60.0 ", b"68.0 ", 1))
    return folder


def test_one_header_among_many_that_was_changed_is_rejected_by_name(tmp_path):
    scanned = scan(night(tmp_path, {3}), Plain())
    (row,) = scanned.rejected
    assert row.file == "light_3.fits" and row.reason.startswith(
        "light_3.fits: its header does not match its CHECKSUM"
    )
    assert "'use' in night.ecsv" in row.reason


@pytest.mark.parametrize("altered", [range(8), range(3)])
def test_headers_of_which_many_were_changed_are_used_with_a_note(tmp_path, altered):
    scanned = scan(night(tmp_path, set(altered)), Plain())
    assert not scanned.rejected and len(scanned.frames) == 8
    noted = ["changed after its CHECKSUM" in "".join(info.notes) for info in scanned.frames]
    assert noted == [i in altered for i in range(8)]


def test_headers_that_nobody_changed_have_no_note(tmp_path):
    scanned = scan(night(tmp_path, ()), Plain())
    assert len(scanned.frames) == 8 and not any(
        "CHECKSUM" in note for i in scanned.frames for note in i.notes
    )


def test_a_change_that_was_meant_is_obeyed(tmp_path):
    table = scan(night(tmp_path, {3}), Plain()).table()
    table["status"][table["file"] == "light_3.fits"] = "use"
    assert len(scan(tmp_path, Plain(), edited=table).frames) == 8
