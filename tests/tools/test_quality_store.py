"""The images that `dev.py bench quality` keeps."""

import os

import numpy as np
import pytest

from tools.bench.picture_quality.store import Store


def test_a_stored_image_is_found_again_but_not_under_other_settings_or_code(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    store = Store(tmp_path, {"checkpoint": "a"}, code="1")
    store.save({"text": "owl"}, image)
    assert np.array_equal(Store(tmp_path, {"checkpoint": "a"}, code="1").image({"text": "owl"}), image)
    assert store.has({"text": "owl"})
    assert not store.has({"text": "fox"})
    assert not Store(tmp_path, {"checkpoint": "b"}, code="1").has({"text": "owl"})
    assert not Store(tmp_path, {"checkpoint": "a"}, code="2").has({"text": "owl"})
    assert Store(tmp_path, {"checkpoint": "a"}, code="2", any_code=True).has({"text": "owl"})


def test_an_image_whose_writing_was_interrupted_is_missing(tmp_path, monkeypatch):
    store = Store(tmp_path, {}, code="1")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.bench.picture_quality.store.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save({"text": "owl"}, np.zeros((4, 4, 3), np.uint8))
    assert not store.has({"text": "owl"})


def test_what_was_judged_of_an_image_holds_until_it_is_made_anew(tmp_path):
    store, key = Store(tmp_path, {}, code="1"), {"text": "owl"}
    store.save(key, np.zeros((4, 4, 3), np.uint8))
    store.save_judged(key, "scores", {"sharpness": np.array(0.5)})
    assert store.judged(key, "scores") == {"sharpness": 0.5}
    assert store.judged(key, "lite2") is None
    image = next(tmp_path.glob("*.png"))
    later = image.stat().st_mtime + 10
    store.save(key, np.ones((4, 4, 3), np.uint8))
    os.utime(image, (later, later))
    assert store.judged(key, "scores") is None
