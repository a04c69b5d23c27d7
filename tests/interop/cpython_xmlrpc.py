"""CPython's own tests of its XML-RPC client, run against our server: `python tests/interop/cpython_xmlrpc.py PORT`.

Rules of this file
- The tests are the interpreter's (test.test_xmlrpc); only where the server stands is changed.
- What is not run, and why: `test_introspection1` and `test_introspection4` fix the list of methods and the lack of
  signatures of SimpleXMLRPCServer; `test_non_existing_multicall` fixes its private text; `test_allow_dotted_names_true`
  looks up attributes along dots, which we never do. The other classes test that server, or a client without one.
"""

from __future__ import annotations

import sys
import unittest

from test import test_xmlrpc as theirs

NOT_OURS = (
    "test_introspection1",
    "test_introspection4",
    "test_non_existing_multicall",
    "test_allow_dotted_names_true",
)


class OurServerTestCase(theirs.SimpleServerTestCase):
    """Their tests, with our server at their URL."""

    def setUp(self) -> None:
        port = int(sys.argv[1])
        theirs.ADDR, theirs.PORT, theirs.URL = "127.0.0.1", port, f"http://127.0.0.1:{port}"

    def tearDown(self) -> None:
        pass


def main() -> None:
    """Run them; the exit code says whether all passed."""
    names = [name for name in unittest.TestLoader().getTestCaseNames(OurServerTestCase) if name not in NOT_OURS]
    done = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(map(OurServerTestCase, names)))
    sys.exit(not done.wasSuccessful() or not names)


if __name__ == "__main__":
    main()
