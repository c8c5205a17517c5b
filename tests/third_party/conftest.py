"""Projects of others: test_packaging.py installs them
and runs their tests; here there is nothing to collect.
"""

collect_ignore_glob = ["*"]
