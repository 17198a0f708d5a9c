"""Captured functions: those of a program that no worker has ever seen."""

import os
import shutil
import unittest

import harness
from harness import BIN, BUILD, DEMO, SANITIZED, Case, Coordinator

PROGRAMS = os.path.join(BUILD, "tests", "capture")
WAYS = ("pie", "nopie", "stripped", "lto", "sections")


def program(way):
    return os.path.join(PROGRAMS, f"captured_{way}")


@unittest.skipIf(SANITIZED, "programs of others are not built with our sanitizer")
class Captured(Case):

    def lines(self, *command, **options):
        out, _ = self.run_program(*command, **options)
        return out.splitlines()

    def agent(self, remudad, name, *args):
        log = open(os.path.join(self.folder, f"{name}.log"), "ab")
        self.addCleanup(log.close)
        agent = self.start(os.path.join(BIN, "remuda-agent"), "--coordinator", remudad.address,
                           "--insecure", "--name", name, "--module", DEMO, *args, stderr=log,
                           stdout=log)
        self.addCleanup(agent.wait, harness.PATIENCE)
        self.addCleanup(agent.terminate)

    def test_a_static_function_runs_however_its_program_was_built(self):
        for way in WAYS:
            with self.subTest(way):
                self.assertEqual(
                    ["twice 42", "set_up 1119", "child 5", "total 500000.0"],
                    self.lines(program(way), "private", "twice", "set_up", "child", "total"))

    def test_cpp_objects_and_exceptions_are_as_in_the_client(self):
        out, err = self.run_program(program("cpp"), "private")
        self.assertEqual(["word 42", "caught 9", "missing failed"], out.splitlines())
        self.assertIn("std::out_of_range", err)

    def test_the_environment_is_the_pools_and_has_no_trace_of_the_preload(self):
        self.env["LD_PRELOAD"] = ""
        self.assertEqual(
            ["variable:LD_PRELOAD (none)", "variable:REMUDA_CAPTURE (none)",
             "variable:HOME " + self.env["HOME"]],
            [line.replace("LD_PRELOAD ", "LD_PRELOAD (none)") if line.endswith("LD_PRELOAD ")
             else line for line in self.lines(
                 program("pie"), "private", "variable:LD_PRELOAD", "variable:REMUDA_CAPTURE",
                 "variable:HOME")])

    def test_workers_stay_warm_and_are_shared_by_many_tasks(self):
        self.env["PROGRAM_WORKERS"] = "1"
        lines = self.lines(program("pie"), "private", "pid", "pid", "many", "pid")
        pids = {line for line in lines if line.startswith("pid ")}
        self.assertEqual(1, len(pids))
        self.assertIn("many 3998000", lines)

    def test_an_error_says_what_the_task_raised_and_where(self):
        _, err = self.run_program(program("pie"), "private", "fails", code=1)
        self.assertIn("ParseError: row 7: expected 4 fields, found 3", err)
        self.assertIn("program.c", err)

    def test_a_crash_ends_one_attempt_and_no_more(self):
        out, err = self.run_program(program("nopie"), "private", "crashes", "twice", code=1)
        self.assertEqual(["crashes failed", "twice 42"], out.splitlines())
        self.assertIn("WorkerLost", err)
        self.assertIn("SIGSEGV", err)

    def test_a_wrong_argument_is_refused_before_anything_is_sent(self):
        _, err = self.run_program(program("pie"), "private", "wrong", code=1)
        self.assertIn("twice: argument 1 (i): expected int64_t, got string", err)

    def test_the_seed_scenario_gives_what_its_page_says(self):
        seed = os.path.join(BUILD, "examples", "c", "seed_scenario")
        out, err = self.run_program(seed, "private")
        self.assertEqual("", err)
        for line in ("1 detect: 42", "3 switch: 42", "5 wrap: 42"):
            self.assertIn(line, out.splitlines())
        self.assertRegex(out, r"EncodeError: Can't encode the function func_async \(.*"
                         r"seed_scenario\.c:\d+\), which is in argument 1 at \[0\]\[0\]")
        for way_out in ("remuda_wrap(func_async)", "remuda_set_encoder(REMUDA_ENCODER_CAPTURE)",
                        "REMUDA_ENCODER=auto"):
            self.assertIn(way_out, out)
        self.assertIn("The above error was the direct cause of the following error:\n\n"
                      "EncodeError: Could not encode the task native:seed_scenario.id to send it "
                      "to the workers.", out)

    def test_the_environment_switches_the_encoder(self):
        for encoder, line in (("auto", "nested 42"), ("capture", "nested 42"),
                              ("schema", "nested failed")):
            with self.subTest(encoder):
                self.env["REMUDA_ENCODER"] = encoder
                code = 0 if line == "nested 42" else 1
                out, _ = self.run_program(program("pie"), "private", "nested", "function",
                                          code=code)
                self.assertEqual([line, "function 42"], out.splitlines())

    def test_a_captured_function_calls_one_by_name_in_its_own_process(self):
        with Coordinator(self, workers=1) as remudad:
            self.assertEqual(["by_name 49"], self.lines(program("pie"), remudad.address, "by_name"))

    def test_globals_travel_and_do_not_stay(self):
        self.env["PROGRAM_WORKERS"] = "1"
        for way in ("pie", "nopie"):
            with self.subTest(way):
                out, err = self.run_program(program(way), "private", "globals")
                # 10 * 4 + 'A'; then the program's own: 1 * 4 + 'n'.
                self.assertEqual(["globals 105", "without 114", "own failed"], out.splitlines())
                self.assertIn("thread-local ones cannot travel", err)

    def test_bound_bytes_are_the_first_argument(self):
        self.assertEqual(["bound 105"], self.lines(program("pie"), "private", "bound"))

    def test_a_function_of_a_loaded_library_is_captured_with_it(self):
        plugin = os.path.join(PROGRAMS, "captured_plugin.so")
        self.assertEqual(["twice 42", "plugin 42", "plugin 45", "twice 42"],
                         self.lines(program("pie"), "private", "twice", f"plugin:{plugin}",
                                    "twice"))

    def test_images_and_modules_share_one_worker_in_turn(self):
        with Coordinator(self, workers=1) as remudad:
            self.env["PROGRAM_WORKERS"] = "1"
            turns = ["twice", "square", "twice", "square", "twice"]
            wanted = [{"twice": "twice 42", "square": "square 36"}[turn] for turn in turns]
            self.assertEqual(wanted, self.lines(program("pie"), remudad.address, *turns))

    def test_a_captured_function_submits_one_by_name(self):
        with Coordinator(self, workers=2) as remudad:
            self.assertEqual(["parent 81", "parent 81"],
                             self.lines(program("pie"), remudad.address, "parent", "parent"))

    def test_an_agent_elsewhere_gets_the_program_once(self):
        with Coordinator(self, "--insecure", listen="tcp:127.0.0.1:0", workers=None) as remudad:
            self.agent(remudad, "far")
            self.assertEqual(["twice 42", "set_up 1119", "many 3998000"],
                             self.lines(program("stripped"), remudad.address, "twice", "set_up",
                                        "many"))
            self.assertEqual(["twice 42"],
                             self.lines(program("stripped"), remudad.address, "twice"))

    def test_a_program_that_is_built_anew_is_another_image(self):
        with Coordinator(self, workers=2) as remudad:
            path = os.path.join(self.folder, "mine")
            shutil.copy(program("pie"), path)
            self.env["PROGRAM_WAITS"] = "1"
            old = self.start(path, remudad.address, "twice", "twice", stdin=harness.subprocess.PIPE)
            self.assertEqual("twice 42\n", old.stdout.readline())
            os.unlink(path)
            shutil.copy(program("nopie"), path)
            env = dict(self.env)
            env.pop("PROGRAM_WAITS")
            self.assertEqual(["twice 42"], self.lines(path, remudad.address, "twice", env=env))
            old.stdin.write("x\n")
            old.stdin.flush()
            self.assertEqual("twice 42\n", old.stdout.readline())
            old.stdin.close()
            self.assertEqual(0, old.wait(harness.PATIENCE))
            old.stdout.close()
            old.stderr.close()


if __name__ == "__main__":
    harness.main()
