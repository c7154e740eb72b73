import pytest

from experiments.train import settings


def test_defaults_are_accepted():
    settings.check(settings.default())


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("num_workers", 0, "at least 1"),
        ("num_seeds", -1, "at least 1"),
        ("chunk_size", -2, "0 is all"),
        ("batch_size", -1, "0 is all"),
        ("data.in_memory", False, "a batch_size above 0"),
        ("learning_rates.adam", 0.0, "above 0"),
        ("learning_rates.sgd", float("nan"), "above 0"),
        ("psi_max", 0.01, "at least psi_min"),
        ("deadlines", (1.1, 1.0), "above 1"),
        ("deadlines", (), "above 1"),
        ("deadlines", ("soon",), "above 1"),
        ("deadlines", (1.1, 1.1), "no repetition"),
        ("schemes", ("straggler_free", "magic"), "interval"),
        ("model.compute_dtype", "float16", "bfloat16, float32"),
        ("model.name", "yolo", "retinanet, ssdlite"),
        ("model.divisor", "batch", "image, split"),
        ("optimizers", ("magic",), "adam, momentum, sgd, two_track_adam"),
        ("noise_ratios", (1.0, 0.0), "above 0"),
        ("noise_ratios", (float("inf"),), "finite"),
        ("rate_factors", (2.0,), "1 first"),
        ("rate_factors", (1.0, 0.0), "above 0"),
        ("schedule", "linear", "constant, cosine"),
        ("warmup_iterations", 200, "0 to 199"),
        ("clip_norm", -1.0, "0 is none"),
        ("runs_at_once", 0, "at least 1"),
        ("codecs", ("int4",), "bfloat16, float32, int8"),
        ("subspace_factor", 0, "at least 1"),
        ("task", "magic", "detection, logistic"),
        ("ray.deadline", 0.5, "0 where stragglers.model is not"),
        ("data.shapes.num_train", 9, "at least num_partitions = 10"),
        ("logistic.num_train", 0, "at least 1"),
        ("logistic.regularizer", -1.0, "at least 0"),
        ("path", "magic", "ray, simulated, spmd"),
        ("data.max_objects", 0, "at least 1"),
    ],
)
def test_errors_name_key_value_and_what_is_accepted(key, value, accepted):
    config = settings.default()
    with config.ignore_type():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError) as error:
        settings.check(config)
    for part in (f"config.{key}", repr(value), accepted):
        assert part in str(error.value)


def test_two_tracks_need_a_scheme_that_does_not_wait():
    config = settings.default()
    config.schemes, config.optimizers = ("straggler_free",), ("two_track_adam",)
    with pytest.raises(ValueError, match=r"config.optimizers = .*single track too"):
        settings.check(config)


def test_processes_and_devices_have_one_run_at_a_time():
    config = settings.default()
    config.runs_at_once, config.path = 2, "spmd"
    with pytest.raises(ValueError, match=r"config.runs_at_once = 2; accepted: 1"):
        settings.check(config)


def test_devices_send_no_messages():
    config = settings.default()
    config.path, config.codecs = "spmd", ("float32", "int8")
    with pytest.raises(ValueError, match=r"config.codecs.*where path is spmd"):
        settings.check(config)
