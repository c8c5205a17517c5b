"""The table of benchmarks.tuned: who lived, by the distance of the right weight."""

from benchmarks import tuned


def ended(distance, weight=0.1, **more):
    return {"finite": True, "alike": False, "distance": distance, "weight": weight} | more


def test_who_lived_is_told_by_the_right_weight_of_the_same_data_and_loss():
    lost = {"finite": False, "alike": True, "distance": None, "weight": None}
    found = {
        ("ring", "nonsat", "right", False): [ended(0.1), ended(0.3)],
        ("ring", "nonsat", "right", True): [ended(0.2), ended(0.2)],
        ("ring", "nonsat", "weight 1e3", False): [ended(0.41), lost],
        ("ring", "nonsat", "weight 1e3", True): [ended(0.4, 2.0), ended(0.1, 3.0, alike=True)],
        ("digits", "nonsat", "right", False): [ended(1.0)],
        ("digits", "nonsat", "right", True): [lost],
    }
    rows = tuned.rows(found)
    lived = [(row[0], row[2], row[3], row[5]) for row in rows]
    assert lived == [
        ("ring", "right", "2 of 2", "2 of 2"),
        ("ring", "weight 1e3", "0 of 2", "1 of 2"),
        ("digits", "right", "1 of 1", "0 of 1"),
    ]
    assert rows[0][4] == "0.200 (0.100 to 0.300)" and rows[1][4] == "0.410"
    assert rows[1][7] == "2 to 3" and rows[2][6:] == ["none ended", "-"]


def test_a_training_is_kept_and_not_done_again(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(tuned, "DATA", {"ring": tuned.DATA["ring"]})
    monkeypatch.setattr(tuned, "LOSSES", {"rpgan": ("r1", "r2")})
    monkeypatch.setattr(tuned, "FAULTS", {"right": tuned.FAULTS["right"]})
    monkeypatch.setattr(tuned, "trained", lambda *key: asked.append(key) or ended(0.5))
    first = tuned.all_found(tmp_path, [1, 2])
    assert len(asked) == 4 and tuned.all_found(tmp_path, [1, 2]) == first and len(asked) == 4
    assert [len(ones) for ones in first.values()] == [2, 2]
