import pytest

from experiments import settings


def test_defaults_are_accepted():
    settings.check(settings.default())


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("num_workers", 0, "at least 1"),
        ("num_seeds", -1, "at least 1"),
        ("chunk_size", -2, "0 is all"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("psi_max", 0.01, "at least psi_min"),
        ("deadlines", (1.1, 1.0), "above 1"),
        ("deadlines", (), "above 1"),
        ("deadlines", ("soon",), "above 1"),
        ("deadlines", (1.1, 1.1), "no repetition"),
        ("schemes", ("gd", "magic"), "interval"),
        ("optimizer", "magic", "adam, momentum, sgd"),
        ("model.compute_dtype", "float16", "bfloat16, float32"),
        ("path", "magic", "simulated, spmd"),
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
