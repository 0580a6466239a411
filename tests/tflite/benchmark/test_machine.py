import datetime
import os

from tflite.benchmark.machine import cpu_name, describe_machine, load_average, now


def test_a_machine_is_described():
    machine = describe_machine()
    assert machine["cpu"] == cpu_name() != ""
    assert 1 <= machine["usable_cpus"] <= machine["cpus"] == os.cpu_count()
    assert machine["memory_mib"] is None or machine["memory_mib"] > 100
    assert load_average() is None or load_average() >= 0


def test_the_time_is_of_a_zone():
    assert datetime.datetime.fromisoformat(now()).utcoffset() == datetime.timedelta(0)
