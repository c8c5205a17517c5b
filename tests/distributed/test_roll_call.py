"""Ranks beat in their store, and leave it before their program ends."""

import threading

from ganzoo.distributed.roll_call import RollCall


class SlowStore:
    """A store that answers when it is told to."""

    def __init__(self):
        self.asked = threading.Event()
        self.answers = threading.Event()

    def set(self, key, value):
        pass

    def add(self, key, amount):
        self.asked.set()
        self.answers.wait(30)
        return amount


def test_no_thread_is_within_the_store_when_the_program_ends():
    # PyTorch's own store aborts a program that ends meanwhile: exit code 134, all done.
    store = SlowStore()
    roll_call = RollCall(store, rank=0, count=1, asks=False)
    beating = roll_call._beating
    assert store.asked.wait(10)
    threading.Timer(0.3, store.answers.set).start()
    assert beating.is_alive()
    roll_call.end()
    assert not beating.is_alive()


def test_a_store_that_never_answers_is_left_after_a_while(monkeypatch):
    monkeypatch.setattr("ganzoo.distributed.roll_call.SECONDS", 0.2)
    store = SlowStore()
    roll_call = RollCall(store, rank=0, count=1, asks=False)
    assert store.asked.wait(10)
    roll_call.end()
    assert roll_call._beating.is_alive()
    store.answers.set()
