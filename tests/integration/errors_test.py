"""How errors look: the same text from C and the command line, the same chain as JSON from C, the
command line and any gRPC client; both fixed by the golden files in stages/.

`REMUDA_GOLDEN=write python3 errors_test.py` writes them anew: read the difference before you
commit it."""

import json
import os
import re
import unittest

from harness import BUILD, SANITIZED, Case, Coordinator

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(BUILD, "tests", "stages_test")
MODULE = os.path.join(BUILD, "tests", "modules", "stages.so")


class Text(Case):
    def plain(self, text):
        """Without what differs from machine to machine, and from run to run."""
        host = re.escape(os.uname().nodename)
        text = re.sub(rf"\b{host}\b", "node-b", text)
        # A compiler cache may give the compiler another path to the same file.
        text = re.sub(r'"[^"\s]*(?=tests/integration/stages/)', '"', text)
        return re.sub(r"worker \d+|(?<=\"worker\": \")\d+", lambda at: re.sub(r"\d+", "N", at[0]),
                      text)

    def golden(self, name, text):
        path = os.path.join(HERE, "stages", name)
        if os.environ.get("REMUDA_GOLDEN") == "write":
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text, file.read(), f"not as {path} says")

    def chain(self, text):
        return self.plain(json.dumps(json.loads(text), indent=2, sort_keys=True)) + "\n"

    def check(self, task, *args):
        function = f"native:stages.{task}"
        self.env["REMUDA_SERVER"] = os.path.join(BUILD, "bin", "remudad")
        text, chain = self.run_program(PROGRAM, "print", function, *args or [""], code=1)
        self.golden(f"{task}.golden", self.plain(text))
        self.golden(f"{task}.json.golden", self.chain(chain))
        out, err = self.remuda("run", "-m", MODULE, function, *args, code=1)
        self.assertEqual(out, "")
        head, shown = err.split("\n", 1)
        self.assertEqual(head, f"remuda: {function} failed:")
        self.assertEqual(self.plain(shown), self.plain(text))
        lines = json.dumps(list(map(int, args))) + "\n"
        out, _ = self.remuda("map", "--spread", "-K", "--json", "-m", MODULE, function,
                             input=lines, code=4)
        self.assertEqual(self.chain(json.dumps(json.loads(out)["error"])), self.chain(chain))
        with Coordinator(self, modules=(MODULE,)) as remudad:
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                                  {"function": function, "args": [{"int64": a} for a in args]})
            self.assertEqual(self.chain(json.dumps(answer["outcome"]["error"])),
                             self.chain(chain))

    def test_a_cause(self):
        self.check("raises", "7")

    def test_a_context(self):
        self.check("raises_twice")

    def test_a_chain_through_a_task_that_submits_a_task(self):
        self.check("asks", "7")

    def test_a_result_that_cannot_be_encoded(self):
        self.check("bad_result")

    @unittest.skipIf(SANITIZED, "the sanitizer reports the crash")
    def test_a_crash_with_its_stack(self):
        self.check("crashes")


if __name__ == "__main__":
    unittest.main(verbosity=2)
