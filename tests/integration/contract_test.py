"""Any gRPC client: grpcurl against the contract, health and reflection."""

import base64
import json
import os
import subprocess
import time
import unittest

from harness import Case, Coordinator


class Contract(Case):
    def test_reflection_lists_the_services(self):
        with Coordinator(self) as remudad:
            services = self.run_program("grpcurl", "-plaintext", "-unix", remudad.path, "list")[0]
            for name in ("Executor", "Pools", "Blobs", "Agents", "Admin"):
                self.assertIn(f"remuda.v1.{name}", services)
            self.assertIn("grpc.health.v1.Health", services)
            for version in ("v1", "v1alpha"):
                self.assertIn(f"grpc.reflection.{version}.ServerReflection", services)
            described = self.run_program("grpcurl", "-plaintext", "-unix", remudad.path,
                                         "describe", "remuda.v1.RunRequest")[0]
            self.assertIn("repeated .remuda.v1.Value args", described)

    def test_health_says_serving(self):
        with Coordinator(self) as remudad:
            answer = self.grpcurl(remudad.path, "grpc.health.v1.Health/Check", {})
            self.assertEqual(answer, {"status": "SERVING"})

    def test_run_gives_the_value(self):
        with Coordinator(self) as remudad:
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                                  {"function": "native:demo.square", "args": [{"int64": 21}]})
            self.assertEqual(answer["outcome"], {"value": {"int64": "441"}})

    def test_a_failed_task_is_data(self):
        with Coordinator(self) as remudad:
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                                  {"function": "native:demo.fail"})
            errors = answer["outcome"]["error"]["errors"]
            self.assertEqual(len(errors), 3)
            self.assertEqual(errors[0]["cause"], 2)

    def test_a_repeated_request_id_runs_once(self):
        with Coordinator(self) as remudad:
            request = {"function": "native:demo.square", "args": [{"int64": 2}],
                       "requestId": "one"}
            first = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", request)
            second = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", request)
            self.assertEqual(first["task"], second["task"])
            status = self.grpcurl(remudad.path, "remuda.v1.Admin/Status", {})
            self.assertEqual(status["done"], "1")

    def test_submit_await_and_cancel(self):
        with Coordinator(self) as remudad:
            quick = self.grpcurl(remudad.path, "remuda.v1.Executor/Submit",
                                 {"function": "native:demo.square", "args": [{"int64": 5}]})
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Await",
                                  {"tasks": [quick["task"]]})
            self.assertEqual(answer["outcome"]["value"], {"int64": "25"})
            again = self.grpcurl(remudad.path, "remuda.v1.Executor/Await",
                                 {"tasks": [quick["task"]]})
            self.assertEqual(again, answer)
            slow = self.grpcurl(remudad.path, "remuda.v1.Executor/Submit",
                                {"function": "native:demo.sleep_ms", "args": [{"int64": 600000}]})
            results = self.grpcurl(remudad.path, "remuda.v1.Executor/Cancel",
                                   {"tasks": [slow["task"], quick["task"],
                                              {"session": quick["task"]["session"],
                                               "number": "999"}]})
            self.assertEqual(results["results"], ["CANCEL_RESULT_CANCELLED", "CANCEL_RESULT_DONE",
                                                  "CANCEL_RESULT_NOT_FOUND"])
            ended = self.grpcurl(remudad.path, "remuda.v1.Executor/Await",
                                 {"tasks": [slow["task"]]})
            self.assertIn("cancelled", ended["outcome"])

    def test_map_streams_in_order(self):
        with Coordinator(self) as remudad:
            out, _ = self.run_program(
                "grpcurl", "-plaintext", "-unix", "-d",
                json.dumps({"function": "native:demo.square",
                            "items": [{"int64": i} for i in range(100)]}),
                remudad.path, "remuda.v1.Executor/Map")
            decoder, at, answers = json.JSONDecoder(), 0, []
            while at < len(out.rstrip()):
                answer, at = decoder.raw_decode(out, at)
                answers.append(answer)
                at += len(out[at:]) - len(out[at:].lstrip())
            self.assertEqual([int(a["outcome"]["value"]["int64"]) for a in answers],
                             [i * i for i in range(100)])
            self.assertEqual([int(a.get("index", 0)) for a in answers], list(range(100)))

    def test_a_run_whose_caller_hangs_up_is_cancelled(self):
        with Coordinator(self) as remudad:
            err = self.grpcurl_timeout(remudad.path)
            self.assertIn("DeadlineExceeded", err)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                status = self.grpcurl(remudad.path, "remuda.v1.Admin/Status", {})
                if status.get("done") == "1":
                    return
            self.fail("the task goes on without its caller")

    def grpcurl_timeout(self, path):
        _, err = self.run_program(
            "grpcurl", "-plaintext", "-unix", "-max-time", "1", "-d",
            '{"function":"native:demo.sleep_ms","args":[{"int64":600000}]}', path,
            "remuda.v1.Executor/Run", code=None)
        return err

    def test_pools_open_resize_list_close(self):
        with Coordinator(self) as remudad:
            spec = {"name": "team", "runtime": "native", "maxWorkers": 1}
            opened = self.grpcurl(remudad.path, "remuda.v1.Pools/Open", {"spec": spec})
            self.assertNotIn("reused", opened)
            again = self.grpcurl(remudad.path, "remuda.v1.Pools/Open", {"spec": spec})
            self.assertTrue(again["reused"])
            differs = dict(spec, environment={"A": "1"})
            err = self.grpcurl(remudad.path, "remuda.v1.Pools/Open", {"spec": differs}, code=73)
            self.assertIn("FailedPrecondition", err)
            resized = self.grpcurl(remudad.path, "remuda.v1.Pools/Resize",
                                   {"name": "team", "maxWorkers": 2})
            self.assertEqual(resized["pool"]["spec"]["maxWorkers"], 2)
            run = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                               {"function": "native:demo.square", "args": [{"int64": 3}],
                                "pool": "team"})
            self.assertEqual(run["outcome"]["value"], {"int64": "9"})
            listed = self.grpcurl(remudad.path, "remuda.v1.Pools/List", {})
            self.assertIn("team", [pool["spec"].get("name") for pool in listed["pools"]])
            self.grpcurl(remudad.path, "remuda.v1.Pools/Close", {"name": "team"})
            err = self.grpcurl(remudad.path, "remuda.v1.Pools/Close", {"name": "tame"}, code=69)
            self.assertIn("tame", err)

    def test_a_module_is_pushed_once_and_runs(self):
        source = os.path.join(self.folder, "extra.c")
        with open(source, "w", encoding="ascii") as file:
            file.write('#include <remuda/task.h>\nREMUDA_MODULE("extra");\n'
                       "REMUDA_TASK(int64_t, twice, (int64_t, x)) { return 2 * x; }\n")
        root = os.path.join(os.path.dirname(__file__), "..", "..")
        includes = [f"-I{root}/proto/{room}/include" for room in ("task", "codec", "error")]
        subprocess.run(["cc", "-shared", "-fPIC", *includes, source, "-o",
                        os.path.join(self.folder, "extra.so")], check=True)
        with Coordinator(self) as remudad:
            address = ["--address", remudad.address]
            self.remuda("run", *address, "native:demo.square", "2")
            self.remuda("module", "push", *address, "extra.so")
            self.remuda("module", "push", *address, "extra.so")
            out, _ = self.remuda("module", "list", *address, "--json")
            self.assertEqual(out.count("extra.so"), 1)
            out, _ = self.remuda("run", *address, "native:extra.twice", "21")
            self.assertEqual(out, "42\n")
            out, _ = self.remuda("run", *address, "native:demo.square", "3")
            self.assertEqual(out, "9\n")

    def test_blobs_missing_and_refused(self):
        with Coordinator(self) as remudad:
            digest = base64.b64encode(bytes(32)).decode()
            answer = self.grpcurl(remudad.path, "remuda.v1.Blobs/FindMissing",
                                  {"digests": [digest]})
            self.assertEqual(answer, {"missing": [digest]})
            err = self.grpcurl(remudad.path, "remuda.v1.Blobs/Get", {"digest": digest}, code=69)
            self.assertIn("NotFound", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
