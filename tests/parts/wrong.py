"""The list of parts that break one promise each."""

import pytest

WRONG = []


def wrong(kind, check, message):
    """Put a part on the list, with the check that it fails first and what that is to say."""

    def keep(factory):
        WRONG.append(pytest.param(kind, factory, check, message, id=factory.__name__.strip("_")))
        return factory

    return keep


def documented(text="Breaks a promise."):
    def keep(factory):
        factory.__doc__ = text
        return factory

    return keep
