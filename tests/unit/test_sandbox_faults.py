"""The registry of faults, and what each fault writes."""

from __future__ import annotations

import pytest

from sandbox.errors import UsageError
from sandbox.faults.model import Fault
from sandbox.faults.registry import ALL, by_name, fault_named
from sandbox.faults.stack import Stack
from sandbox.files import read_json
from sandbox.layout import Home
from sandbox.traffic.control import Load, read_load, write_load


@pytest.fixture
def stack(tmp_path) -> Stack:
    """A stack whose control files exist and whose servers do not."""
    home = Home(tmp_path)
    write_load(home.traffic_control, Load(40.0, 1.0))
    return Stack(home, {"redis": 1})


def test_registry_every_fault_says_what_it_is_and_what_to_expect():
    """Each has a name of its own, a cause and a symptom."""
    assert {"penetration_attack", "uncached_endpoint", "redis_down"} <= set(by_name())
    for fault in ALL:
        assert fault.description.endswith(".")
        assert "within" in fault.symptom


def test_registry_unknown_name_lists_the_known_ones():
    """The message helps, and the exit code is that of a wrong request."""
    with pytest.raises(
        UsageError, match="penetration_attack, prometheus_down, redis_down, uncached_endpoint"
    ) as caught:
        fault_named("meteor")
    assert caught.value.exit_code == 2


def test_registry_two_faults_of_one_name_are_refused():
    """A second fault cannot hide the first."""
    with pytest.raises(ValueError, match="same name"):
        by_name((ALL[0], ALL[0]))


def test_parameters_text_is_converted_to_the_type_of_the_default():
    """The command line gives text, the generator wants numbers."""
    fault = fault_named("penetration_attack")
    assert fault.parameters({"rate_per_second": "12"})["rate_per_second"] == 12.0
    assert fault.parameters({})["addresses"] == 4000


@pytest.mark.parametrize("given", [{"speed": 3}, {"rate_per_second": "fast"}])
def test_parameters_unknown_or_of_the_wrong_type_are_refused(given):
    """Nothing is injected with a value that nobody meant."""
    with pytest.raises(UsageError, match="rate_per_second"):
        fault_named("penetration_attack").parameters(given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("enhanced_errors", {"error_ratio": 1.5}),
        ("enhanced_errors", {"error_ratio": "nan"}),
        ("enhanced_slow", {"seconds": -1}),
        ("enhanced_slow", {"seconds": "inf"}),
        ("enhanced_misses", {"share": -0.1}),
    ],
)
def test_parameters_outside_their_limits_are_refused(name, given):
    """More than everybody, backwards in time, for ever and not a number are slips."""
    with pytest.raises(UsageError, match="is not between 0 and"):
        fault_named(name).parameters(given)


@pytest.mark.parametrize("given", [{"share": 0.0, "seconds": 0}, {"share": "1", "seconds": "10"}])
def test_parameters_at_their_limits_are_accepted(given):
    """Both ends are allowed."""
    assert fault_named("enhanced_slow").parameters(given) == {name: float(value) for name, value in given.items()}


@pytest.mark.parametrize("name", ["enhanced_errors", "enhanced_slow", "enhanced_misses"])
def test_enhanced_fault_switches_the_site_alone(stack, name):
    """The traffic stays as it was, other faults of the site stay, and healing leaves nothing."""
    stack.add_site_fault("uncached_endpoint", {})
    fault = fault_named(name)
    fault.inject(stack, fault.parameters({}))
    assert read_json(stack.home.site_faults) == {"uncached_endpoint": {}, name: dict(fault.defaults)}
    assert read_load(stack.home.traffic_control) == Load(40.0, 1.0)
    fault.heal(stack)
    assert read_json(stack.home.site_faults) == {"uncached_endpoint": {}}


def test_penetration_attack_adds_a_stream_and_takes_it_away(stack):
    """The healthy traffic stays as it was."""
    fault = fault_named("penetration_attack")
    fault.inject(stack, fault.parameters({}))
    load = read_load(stack.home.traffic_control)
    assert load.rate_per_second == 40.0
    assert load.streams["penetration_attack"]["kind"] == "missing_ids"
    fault.heal(stack)
    assert read_load(stack.home.traffic_control).streams == {}


def test_uncached_endpoint_switches_the_site_and_the_traffic(stack):
    """Both halves come and go together."""
    fault = fault_named("uncached_endpoint")
    fault.inject(stack, fault.parameters({}))
    assert read_json(stack.home.site_faults) == {"uncached_endpoint": {"endpoint": "course-recommendations"}}
    assert "uncached_endpoint" in read_load(stack.home.traffic_control).streams
    fault.heal(stack)
    assert read_json(stack.home.site_faults) == {}
    assert read_load(stack.home.traffic_control).streams == {}


def test_heal_of_a_fault_that_left_nothing_changes_nothing(stack):
    """Healing twice is safe."""
    for fault in ALL[:2]:
        fault.heal(stack)
    assert read_load(stack.home.traffic_control) == Load(40.0, 1.0)


def test_fault_without_parameters_takes_none():
    """The message says that there are none."""
    fault = Fault("x", "d.", "s within 1 s", lambda stack, parameters: None, lambda stack: None)
    with pytest.raises(UsageError, match="none"):
        fault.parameters({"a": 1})
