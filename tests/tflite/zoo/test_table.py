from tflite.zoo.table import faults_of, markdown_table, median_latencies, text_table

ROW = {
    "model": "net",
    "errors": {},
    "float32_error": 1e-6,
    "integer_only": True,
    "int8_snr_db": 31.4,
    "int8_agreement": 0.98,
    "min_max_snr_db": 31.0,
    "min_max_agreement": 0.98,
    "int8_gain_db": [-0.1, 0.9],
    "codes_that_differ": 0,
    "odd_inputs": 2000,
    "failures": 0,
    "float32_latency_ratio": [0.9, 0.88, 0.93],
    "int8_latency_ratio": [1.02, 0.99, 1.05],
    "seconds": 12.3,
    "peak_memory_gb": 0.912,
    "trains": True,
}


def test_a_row_that_holds_has_no_faults():
    assert faults_of(ROW) == []


def test_what_does_not_hold_is_said():
    bad = {
        **ROW,
        "errors": {"latency": "ValueError: no"},
        "float32_error": 2e-4,
        "min_max_snr_db": 35.0,
        "int8_gain_db": [-4.0, -3.0],
        "min_max_agreement": 1.0,
        "integer_only": False,
        "codes_that_differ": 3,
        "failures": 2,
        "int8_latency_ratio": [1.2, 1.1, 1.3],
        "trains": False,
    }
    assert faults_of(bad) == [
        "latency: ValueError: no",
        "float32 is 2.0e-04 from Keras",
        "int8 is not integer-only",
        "3 codes differ",
        "2 odd inputs fail",
        "int8 has 31.4 dB, min-max 35.0 dB (95 % interval of the difference -4.0 to -3.0)",
        "int8 agrees on 98%, min-max on 100%",
        "int8 takes 1.20x of TensorFlow's file",
        "it does not train",
    ]


def test_an_snr_below_min_max_by_chance_is_no_fault():
    assert faults_of({**ROW, "min_max_snr_db": 31.6, "int8_gain_db": [-0.6, 0.3]}) == []


def test_figures_that_were_not_taken_are_left_open():
    text = text_table([ROW, {"model": "other", "errors": {}}])
    assert "31.4 dB" in text and "1.02x (0.99 to 1.05)" in text and "0 of 2000" in text
    lines = markdown_table([ROW, {"model": "other", "errors": {}}]).splitlines()
    assert lines[3] == "| other |" + " - |" * 12


def test_the_median_is_over_what_was_measured():
    rows = [{"int8_latency_ratio": [one, 0.0, 9.0]} for one in (0.8, 1.3, 0.9)] + [{}]
    assert median_latencies(rows) == {"int8": 0.9}
