"""The plans as bluesky-queueserver sees them: by name, with devices by name, values from JSON."""

import json
from typing import Any

import pytest
from bluesky_queueserver.manager.profile_ops import (
    existing_plans_and_devices_from_nspace,
    prepare_plan,
    validate_plan,
)
from small_endstation import Hutch

from h5xs_bluesky import plans

Profile = tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]

PLANS = sorted(set(plans.__all__) - {"with_devices"})
ITEMS: list[dict[str, Any]] = [
    {
        "name": "count_sample",
        "args": [["saxs", "waxs"], "water"],
        "kwargs": {"frames": 2, "exposure_s": 0.05, "shutter": "shutter", "changer": "changer"},
    },
    {
        "name": "measure_with_buffer",
        "kwargs": {
            "detectors": ["saxs", "waxs"],
            "sample": "protein",
            "buffer": "buffer",
            "motor": "stage.x",
            "md": {"proposal": "312345"},
        },
    },
    {"name": "measure", "args": ["protein", "buffer"], "kwargs": {"frames": 3}},
    {"name": "calibrate", "args": [["saxs"]], "kwargs": {"changer": "changer"}},
    {"name": "map_scan", "args": [["saxs"], "film", "stage.y", 0, 1, 3, "stage.x", 0.0, 1.0, 4]},
    {"name": "fly_scan", "args": [["saxs", "waxs"], "film", "stage.x", -1, 1, 10]},
    {"name": "sec_series", "args": [["saxs", "waxs"], "column"], "kwargs": {"frames": 600}},
]


@pytest.fixture(scope="module")
def hutch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Hutch(tmp_path_factory.mktemp("queue") / "experiment") as made:
        yield made


@pytest.fixture(scope="module")
def profile(hutch: Hutch) -> Profile:
    """What a manager finds in the namespace of a startup file."""
    station = hutch.station
    namespace = {
        **{name: getattr(plans, name) for name in PLANS},
        "measure": plans.with_devices(
            plans.measure_with_buffer, station.read, shutter=station.shutter
        ),
        **{name: getattr(station, name) for name in ("saxs", "waxs", "shutter", "changer")},
        "stage": station.stage,
    }
    return existing_plans_and_devices_from_nspace(nspace=namespace, max_depth=2)


def test_all_plans_are_found(profile: Profile) -> None:
    assert set(profile[0]) == {*PLANS, "measure"}
    for name, plan in profile[0].items():
        for parameter in plan["parameters"]:
            assert parameter.get("annotation"), (name, parameter["name"])
            assert parameter.get("description"), (name, parameter["name"])


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: str(item["name"]))
def test_items_are_valid(profile: Profile, item: dict[str, Any]) -> None:
    existing, devices, *_ = profile
    sent = json.loads(json.dumps({"item_type": "plan", **item}))
    assert validate_plan(sent, allowed_plans=existing, allowed_devices=devices) == (True, "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"frames": "many"}, "valid integer"),
        ({"sample": None}, "valid string"),
        ({"exposure": 1.0}, "unexpected keyword"),
    ],
)
def test_mistakes_are_told(profile: Profile, changes: dict[str, Any], why: str) -> None:
    existing, devices, *_ = profile
    kwargs = {"detectors": ["saxs"], "sample": "water", **changes}
    item = {"item_type": "plan", "name": "count_sample", "kwargs": kwargs}
    valid, message = validate_plan(item, allowed_plans=existing, allowed_devices=devices)
    assert not valid
    assert why in message


def test_filled_in_parameters_are_gone(profile: Profile) -> None:
    left = [parameter["name"] for parameter in profile[0]["measure"]["parameters"]]
    assert left[:4] == ["sample", "buffer", "frames", "exposure_s"]
    assert "shutter" not in left
    with pytest.raises(TypeError, match="shuter"):
        plans.with_devices(plans.calibrate, shuter=None)


def test_an_item_runs_with_the_devices_that_it_names(hutch: Hutch, profile: Profile) -> None:
    existing, devices, found, named = profile
    ready = prepare_plan(
        {"user_group": "users", **ITEMS[0]},
        plans_in_nspace=found,
        devices_in_nspace=named,
        allowed_plans={"users": existing},
        allowed_devices={"users": devices},
    )
    run = hutch.run(ready["callable"](*ready["args"], **ready["kwargs"]))
    assert (run["sample"], run["reduced"], run["errors"]) == ("water", 4, [])
