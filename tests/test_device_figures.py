"""The script for accelerators does its work on a CPU, in its tiny form."""

import json

import pytest

from benchmarks import device


def test_all_is_measured_and_written(tmp_path):
    device.main(["--tiny", f"--out={tmp_path}", "--stated_tflops", "1e-3", "2e-3"])
    results = json.loads((tmp_path / "device.json").read_text())
    assert results["left_out"] == []
    (step,) = results["step"]
    # Two operations a multiply-add of a 3 x 3 kernel at 16 places in 10 images, forward
    # and for the kernel's gradient; and little besides.
    least = 2 * 2 * 10 * 16 * 9 * 3 * 8
    counted = 1e12 * step["tflops"] * step["images"] / step["images_per_second"]
    assert least / 2 < counted < 4 * least
    assert step["coded_over_plain"] > 0
    (sampled,) = results["monte carlo"]
    drawn = 20 * sampled["trials_per_second"]
    assert sampled["draws_per_second"] == pytest.approx(drawn)
    assert sampled["masks_share"] > 0
    (best,) = results["best unbiased"]
    assert best["error"] <= best["fixed_error"]
    text = (tmp_path / "device.md").read_text()
    assert f"{step['tflops'] / 2e-3:.1%}" in text
    assert f"{step['coded_over_plain']:.3f}" in text


def test_what_there_is_no_time_for_is_listed(tmp_path):
    device.main(["--minutes=-1", f"--out={tmp_path}"])
    results = json.loads((tmp_path / "device.json").read_text())
    assert "step: RetinaNet, ResNet-50, 640 px" in results["left_out"]
    assert len(results["left_out"]) == 2 + 1 + 6 + 4
    assert "step: SSDLite, 320 px" in (tmp_path / "device.md").read_text()


def test_the_detectors_of_the_full_form_exist():
    for name, (make, images) in device.detectors(tiny=False).items():
        detector = make("bfloat16")
        assert f"{detector.image_shape[0]} px" in name
        assert images % 10 == 0  # else the coded step is padded, and seems slower
