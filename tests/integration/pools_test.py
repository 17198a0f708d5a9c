"""Pools with real processes: through the contract, and when their client goes away at any moment.
What they do for a C program is in pools/pools_test.c."""

import base64
import os
import random
import signal
import subprocess
import unittest

from harness import BUILD, PATIENCE, Case, Coordinator, processes_with, wait_until

MODULE = os.path.join(BUILD, "tests", "modules", "pools.so")
PROGRAM = os.path.join(BUILD, "tests", "pools_test")


class Contract(Case):
    def rpc(self, remudad, method, request):
        return self.grpcurl(remudad.path, f"remuda.v1.Pools/{method}", request)

    def open(self, remudad, **spec):
        spec = {"name": "shared", "runtime": "native", "maxWorkers": 2, **spec}
        return self.rpc(remudad, "Open", {"spec": spec})

    def test_each_new_field_that_differs_is_named(self):
        with Coordinator(self, modules=(MODULE,)) as remudad:
            initializer = {"function": "native:pools.setup",
                           "arguments": base64.b64encode(b"\x0a\x02\x18\x05").decode()}
            self.open(remudad, initializer=initializer)
            self.assertTrue(self.open(remudad, initializer=initializer)["reused"])
            # What says the default in so many words is the same spec.
            self.assertTrue(self.open(remudad, initializer=initializer,
                                      leakBytes="300000000")["reused"])
            for field, spec in (("initializer", {}),
                                ("leak_bytes", {"initializer": initializer, "leakBytes": "5"}),
                                ("broken_on_crash", {"initializer": initializer,
                                                     "brokenOnCrash": True})):
                with self.assertRaisesRegex(AssertionError,
                                            f"FailedPrecondition(?s:.)*another {field}"):
                    self.open(remudad, **spec)

    def test_a_pool_that_breaks_gives_its_name_to_the_next(self):
        path = os.path.join(self.folder, "here")
        text = path.encode()
        value = b"\x42" + bytes([len(text)]) + text
        arguments = base64.b64encode(b"\x0a" + bytes([len(value)]) + value).decode()
        spec = {"initializer": {"function": "native:pools.needs", "arguments": arguments}}
        with Coordinator(self, modules=(MODULE,)) as remudad:
            run = {"function": "native:pools.pid", "pool": "shared"}
            self.open(remudad, **spec)
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", run)
            errors = answer["outcome"]["error"]["errors"]
            self.assertEqual([error["type"] for error in errors], ["BrokenPool", "SetupError"])
            with open(path, "wb"):
                pass
            self.assertNotIn("reused", self.open(remudad, **spec))
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", run)
            self.assertIn("value", answer["outcome"])


class Exits(Case):
    def test_a_client_that_is_killed_at_any_moment_leaves_nothing_behind(self):
        self.env["POOLS_FOLDER"] = self.folder
        self.env["REMUDA_SERVER"] = os.path.join(BUILD, "bin", "remudad")
        seed = random.randrange(1 << 30)
        moments = random.Random(seed)
        for _ in range(8):
            program = self.start(PROGRAM, stderr=subprocess.DEVNULL)
            step = moments.randrange(1, 12)
            lines = 0
            while lines < step and program.stdout.readline():
                lines += 1
            program.send_signal(moments.choice((signal.SIGKILL, signal.SIGTERM)))
            program.stdout.close()
            program.wait(PATIENCE)
            wait_until(lambda: not processes_with(self.mark),
                       f"nothing is left after {step} steps (seed {seed})")


if __name__ == "__main__":
    unittest.main()
