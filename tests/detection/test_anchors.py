import jax
import numpy as np
import pytest

from jgc.detection import AnchorGrid, linear_scales, ssd_shapes, ssdlite


@pytest.mark.parametrize(
    ("image_size", "strides"),
    [(320, None), (50, None), (96, (8, 16, 32, 64)), (64, (4, 16)), (32, (64,))],
)
def test_there_is_an_anchor_for_every_output(image_size, strides):
    detector = ssdlite(
        num_classes=5, image_size=image_size, width=0.25, strides=strides
    )
    images = jax.ShapeDtypeStruct((2, image_size, image_size, 3), np.float32)
    (logits, offsets), _ = jax.eval_shape(
        detector.network.init_with_output, jax.random.key(0), images
    )
    assert detector.anchor_boxes.shape == (detector.anchors.count, 4)
    assert logits.shape == (2, detector.anchors.count, 5)
    assert offsets.shape == (2, detector.anchors.count, 4)


def test_at_320_they_are_torchvisions():
    grid = ssdlite(num_classes=91).anchors
    assert [height for height, _ in grid.maps] == [20, 10, 5, 3, 2, 1]
    assert grid.per_pixel == (6,) * 6
    assert grid.count == 3234
    # Its scales: 0.2 to 0.95 in five equal steps, then 1.
    squares = [shapes[0][0] for shapes in grid.shapes]
    np.testing.assert_allclose(squares, np.linspace(0.2, 0.95, 6))
    np.testing.assert_allclose(grid.shapes[-1][1], np.sqrt(0.95))


def test_order_is_map_row_column_shape():
    grid = AnchorGrid(
        maps=((1, 2), (1, 1)), shapes=(((0.2, 0.4), (0.1, 0.1)), ((1.0, 1.0),))
    )
    expected = [
        [0.4, 0.05, 0.6, 0.45],
        [0.45, 0.2, 0.55, 0.3],
        [0.4, 0.55, 0.6, 0.95],
        [0.45, 0.7, 0.55, 0.8],
        [0.0, 0.0, 1.0, 1.0],
    ]
    np.testing.assert_allclose(grid.boxes(), expected, atol=1e-6)


def test_wide_and_tall_shapes_have_the_scales_area():
    (shapes,) = ssd_shapes((0.3, 0.5), aspect_ratios=(2.0,))
    (square, between, wide, tall) = shapes
    assert square == (0.3, 0.3)
    assert between[0] == pytest.approx(0.15**0.5)
    assert wide == tall[::-1]
    assert wide[1] / wide[0] == pytest.approx(2)
    assert wide[0] * wide[1] == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: linear_scales(3, min_scale=0.0, max_scale=0.5), "min_scale"),
        (lambda: linear_scales(3, min_scale=0.6, max_scale=0.5), "max_scale"),
        (lambda: ssd_shapes((0.5,)), "scales"),
        (lambda: ssd_shapes((0.5, 1.0), aspect_ratios=(0.5,)), "aspect_ratios"),
        (lambda: AnchorGrid(maps=((1, 1),), shapes=()), "shapes"),
        (lambda: AnchorGrid(maps=((0, 1),), shapes=(((1.0, 1.0),),)), "maps"),
        (lambda: AnchorGrid(maps=((1, 1),), shapes=(((0.0, 1.0),),)), "shapes"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=name):
        call()
