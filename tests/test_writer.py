"""The thread that writes beside the training: jobs run one at a time and in order, and what they raise comes back."""

import threading

import pytest

from ganzoo.writer import PENDING, Writer


@pytest.fixture
def writer():
    found = Writer()
    yield found
    found.close()


def test_jobs_run_one_at_a_time_in_order(writer):
    at_once, most, done = [], [], []

    def job(number):
        at_once.append(number)
        most.append(len(at_once))
        threading.Event().wait(0.02)
        at_once.remove(number)
        done.append(number)

    for number in range(PENDING):
        writer.submit(lambda number=number: job(number))
    writer.wait()
    assert done == list(range(PENDING)) and set(most) == {1}
    assert not writer._jobs, "what is done is forgotten"


def test_a_job_too_many_waits_until_one_is_done(writer):
    gate = threading.Event()
    for _ in range(PENDING):
        writer.submit(lambda: gate.wait(10))  # these hold copies of the state
    late = threading.Thread(target=writer.submit, args=[lambda: None])
    late.start()
    late.join(0.1)
    waited = late.is_alive()
    gate.set()
    late.join(10)
    assert waited and not late.is_alive()


def test_an_error_comes_back_at_the_next_call(writer):
    """To the one who submits when the job is done, else to the one who waits; only once."""

    def fail():
        raise OSError("no space left")

    for call in (lambda: writer.submit(lambda: None), writer.wait):
        writer.submit(fail)
        writer.settle()  # says nothing
        with pytest.raises(OSError, match="no space left"):
            call()
        writer.wait()


def test_settling_waits_for_running_jobs(writer):
    done = []
    writer.submit(lambda: (threading.Event().wait(0.05), done.append(1)))
    writer.settle()
    assert done == [1] and len(writer._jobs) == 1, "its result is still to be had"


def test_closing_finishes_what_is_queued_whatever_it_raises():
    writer, done = Writer(), []
    writer.submit(lambda: done.append(threading.current_thread().name))
    writer.submit(lambda: 1 / 0)
    writer.submit(lambda: done.append(2))
    writer.close()
    assert len(done) == 2 and done[0].startswith("ganzoo-writer")
    assert writer._jobs == []
    with pytest.raises(RuntimeError, match="shutdown"):
        writer.submit(lambda: None)
