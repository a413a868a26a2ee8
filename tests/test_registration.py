"""What a registration says of the stars' profile."""

import numpy as np
import pytest

from potpyri_like.astrometry import Transform
from potpyri_like.photometry.psf import Profile
from potpyri_like.registration import Registration


@pytest.mark.parametrize("lacking", ["fwhm", "ellipticity", "angle", "beta"])
def test_the_profile_is_the_measured_one_or_that_of_round_stars_as_wide(lacking):
    known = Profile(4.2, 0.3, 25.0, 2.5)
    one = Registration(Transform(np.eye(2), np.zeros(2)), 12, 0.1, 4.0, known)
    assert one.psf is known
    part = Profile(**{**vars(known), lacking: np.nan})
    assert Registration(one.transform, 12, 0.1, 4.0, part).psf == Profile(4.0)
