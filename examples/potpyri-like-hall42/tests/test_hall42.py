from potpyri_like_hall42 import Hall42

from potpyri_like.testing import InstrumentContract


class TestHall42(InstrumentContract):
    instrument = Hall42
