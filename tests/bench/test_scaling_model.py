"""The model of scaling: its parts by hand, and the page that shows it."""

from pathlib import Path

import pytest

from benchmarks import scaling as model

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.fixture(scope="module")
def found():
    every = model.nets()
    for net in every:
        net.count()
    return {net.name: net for net in every}


def test_sizes_are_those_that_papers_state(found):
    generator, discriminator = (size / 4e6 for size in found["r3gan"].bytes)
    assert (generator, discriminator) == pytest.approx((20.78, 21.28), abs=0.005)  # millions
    assert found["gat-xl"].bytes[0] / 4e6 == pytest.approx(602, rel=0.01)


def test_a_message_within_a_node_takes_what_a_ring_takes():
    assert model.reduce_seconds(1e9, 1) == 0
    by_hand = 8.4e-6 + 14 * 3.4e-6 + 2 * 7 / 8 * 1e9 / 370e9
    assert model.reduce_seconds(1e9, 8) == pytest.approx(by_hand)


def test_over_many_nodes_a_tree_is_taken_and_one_link_is_the_limit():
    waits = 2 * (7 * 28e-6 + 7 * 50e-6)
    assert model.reduce_seconds(1e6, 1024) == pytest.approx(waits + 2e6 / (0.9 * 370e9))
    ratio = model.reduce_seconds(1e10, 64, links=1) / model.reduce_seconds(1e10, 64)
    assert ratio == pytest.approx(370 / 47, rel=0.02)


def test_sharded_nets_send_half_as_much_again():
    ratio = model.gather_seconds(1e11, 8) / model.reduce_seconds(1e11, 8)
    assert ratio == pytest.approx(1.5, rel=1e-3)


def test_times_lie_on_lines_between_those_that_are_known():
    net = model.Net("", "", (1,), 1, 1, [(10, 1.0), (20, 3.0), (40, 4.0)])
    assert [net.seconds(n) for n in (1, 10, 15, 20, 30, 40, 80)] == [1, 1, 2, 3, 3.5, 4, 8]


@pytest.mark.parametrize("way", model.WAYS.values(), ids=list(model.WAYS))
@pytest.mark.parametrize("gpus", [8, 1024])
def test_the_least_batch_is_the_first_that_is_good(found, way, gpus):
    for net in found.values():
        least = model.least(way, net, gpus, 8)
        assert model.efficiency(way, net, least, gpus, 8) >= 0.9
        assert least == 1 or model.efficiency(way, net, least - 1, gpus, 8) < 0.9


def test_overlap_hides_something_and_never_more_than_there_is(found):
    for net in found.values():
        for gpus in (8, 64, 1024):
            times = [model.WAYS[w](net, net.share, gpus, 8) for w in ("overlapped", "plain")]
            assert net.seconds(net.share) < times[0] <= times[1]
    large = found["gat-xl"]
    assert model.overlapped(large, 64, 64, 8) < model.plain(large, 64, 64, 8)


def test_the_page_shows_what_the_command_prints(found):
    text = PAGE.read_text("utf-8")
    nets = [*found.values()]
    for line in (*model.tables(nets, 8), *model.tables(nets, 1), *model.published()):
        assert line in text
