import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table

from potpyri_like.store import FITS_ELECTRON, Output


def written(tmp_path, *hdus):
    Output(tmp_path).write_fits("a.fits", fits.HDUList(list(hdus)))
    return tmp_path / "a.fits"


@pytest.mark.parametrize(
    ("says", "unit"),
    [
        ("electron", "ct"),
        ("electron/pix", "ct/pix"),
        ("electrons", "ct"),
        ("adu", "adu"),
        ("pix", "pix"),
        ("", ""),
    ],
)
def test_the_units_of_what_is_written_are_those_that_fits_knows(tmp_path, says, unit):
    image = fits.PrimaryHDU(np.ones((3, 4), np.float32))
    table = fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0, 2.0])])
    image.header["BUNIT"] = table.header["TUNIT1"] = says
    path = written(tmp_path, image, table)
    with fits.open(path, checksum=True) as hdus, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (hdus[0].header["BUNIT"], hdus[1].header["TUNIT1"]) == (unit, unit)
        assert str(u.Unit(hdus[0].header["BUNIT"], format="fits")) == unit.replace("/", " / ")
        assert Table.read(path, hdu=1)["flux"].unit == (u.Unit(unit) if unit else None)


def test_an_electron_is_said_to_be_one_where_nothing_else_is_said(tmp_path):
    image, other = fits.PrimaryHDU(np.ones((3, 4), np.float32)), fits.ImageHDU(np.ones((3, 4), np.float32))
    image.header["BUNIT"] = "electron"
    other.header["BUNIT"] = ("electron", "without sky")
    with fits.open(written(tmp_path, image, other)) as hdus:
        assert hdus[0].header.comments["BUNIT"] == "ct: electrons"
        assert hdus[1].header.comments["BUNIT"] == "without sky"
    assert CCDData.read(tmp_path / "a.fits").unit == u.Unit(FITS_ELECTRON)


def test_a_card_that_names_no_unit_is_left_alone(tmp_path):
    image = fits.PrimaryHDU(np.ones((3, 4), np.float32))
    image.header["OBJECT"] = "electron"
    with fits.open(written(tmp_path, image)) as hdus:
        assert hdus[0].header["OBJECT"] == "electron" and "BUNIT" not in hdus[0].header
