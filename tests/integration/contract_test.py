"""Any gRPC client: grpcurl against the contract, health and reflection."""

import base64
import hashlib
import json
import os
import subprocess
import time
import unittest

import wire
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

    def grpcurl_stream(self, path, method, message, *options, code=0):
        """The answers of a call that takes or gives many messages, which come on stdin."""
        out, err = self.run_program("grpcurl", "-plaintext", "-unix", *options, "-d", "@", path,
                                    method, input="".join(map(json.dumps, message)), code=code)
        if code != 0:
            return err
        decoder, at, answers = json.JSONDecoder(), 0, []
        while at < len(out.rstrip()):
            answer, at = decoder.raw_decode(out, at)
            answers.append(answer)
            at += len(out[at:]) - len(out[at:].lstrip())
        return answers

    def value_of(self, path, reference):
        """The bytes of a value that an outcome only refers to."""
        pieces = self.grpcurl_stream(path, "remuda.v1.Blobs/Get", [{"task": reference["task"]}])
        value = b"".join(base64.b64decode(piece["data"]) for piece in pieces)
        self.assertEqual(len(value), int(reference["sizeBytes"]))
        return wire.get(value, 9)

    def test_a_value_over_1_mib_is_fetched_apart(self):
        zeros = base64.b64encode(bytes((1 << 20) + 1)).decode()
        inside = base64.b64encode(bytes((1 << 20) - 16)).decode()
        with Coordinator(self) as remudad:
            def run(content, method="Run", **more):
                request = {"function": "native:demo.echo", "args": [{"bytes": content}], **more}
                return self.grpcurl_stream(remudad.path, f"remuda.v1.Executor/{method}",
                                           [request])[0]
            self.assertEqual(run(inside)["outcome"]["value"], {"bytes": inside})
            answer = run(zeros)
            reference = answer["outcome"]["valueReference"]
            self.assertEqual(reference["task"], answer["task"])
            self.assertEqual(int(reference["keptMs"]), 10 * 60 * 1000)
            for _ in range(2):
                self.assertEqual(self.value_of(remudad.path, reference), bytes((1 << 20) + 1))
            self.assertEqual(run(zeros, inlineMaxBytes=3 << 20)["outcome"]["value"],
                             {"bytes": zeros})
            small = run(base64.b64encode(b"abc").decode(), inlineMaxBytes=1)
            self.assertEqual(self.value_of(remudad.path, small["outcome"]["valueReference"]),
                             b"abc")
            err = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                               {"function": "native:demo.echo",
                                "inlineMaxBytes": (64 << 20) + 1}, code=67)
            self.assertIn("RunRequest.inline_max_bytes (at most 64 MiB)", err)
            task = run(zeros, "Submit")["task"]
            awaited = self.grpcurl(remudad.path, "remuda.v1.Executor/Await", {"tasks": [task]})
            self.assertEqual(self.value_of(remudad.path, awaited["outcome"]["valueReference"]),
                             bytes((1 << 20) + 1))
            mapped = self.grpcurl_stream(remudad.path, "remuda.v1.Executor/Map", [
                {"function": "native:demo.echo", "items": [{"bytes": zeros}, {"int64": 1}]}])
            self.assertEqual(self.value_of(remudad.path, mapped[0]["outcome"]["valueReference"]),
                             bytes((1 << 20) + 1))
            self.assertEqual(mapped[1]["outcome"]["value"], {"int64": "1"})

    def test_a_value_that_is_not_kept_is_told(self):
        with Coordinator(self) as remudad:
            ran = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                               {"function": "native:demo.square", "args": [{"int64": 2}]})
            err = self.grpcurl(remudad.path, "remuda.v1.Blobs/Get", {"task": ran["task"]}, code=69)
            self.assertIn("its retention is over", err)
            failed = self.grpcurl(remudad.path, "remuda.v1.Executor/Submit",
                                  {"function": "native:demo.fail"})
            self.grpcurl(remudad.path, "remuda.v1.Executor/Await", {"tasks": [failed["task"]]})
            err = self.grpcurl(remudad.path, "remuda.v1.Blobs/Get", {"task": failed["task"]},
                               code=69)
            self.assertIn("did not end with one", err)
            for nonsense in ({}, {"task": failed["task"],
                                  "digest": base64.b64encode(bytes(32)).decode()}):
                err = self.grpcurl(remudad.path, "remuda.v1.Blobs/Get", nonsense, code=67)
                self.assertIn("either a digest or a task", err)

    def test_what_is_kept_for_calls_is_bounded(self):
        content = base64.b64encode(bytes(3 << 20)).decode()
        with Coordinator(self) as remudad:
            tasks = [self.grpcurl_stream(
                remudad.path, "remuda.v1.Executor/Run",
                [{"function": "native:demo.echo", "args": [{"bytes": content}]}])[0]["task"]
                for _ in range(44)]
            err = self.grpcurl(remudad.path, "remuda.v1.Blobs/Get", {"task": tasks[0]}, code=69)
            self.assertIn("its retention is over", err)
            for task in (tasks[2], tasks[-1]):
                self.grpcurl_stream(remudad.path, "remuda.v1.Blobs/Get", [{"task": task}])

    def test_64_mib_go_both_ways_through_run_and_blobs(self):
        content = os.urandom(1 << 20) * 64
        arguments = wire.data(1, wire.data(9, content))
        digest = base64.b64encode(hashlib.sha256(arguments).digest()).decode()
        pieces = [{"info": {"digest": digest, "sizeBytes": len(arguments)}}]
        pieces += [{"data": base64.b64encode(arguments[at:at + (1 << 20)]).decode()}
                   for at in range(0, len(arguments), 1 << 20)]
        request = {"function": "native:demo.echo", "argumentsBlob": digest}
        with Coordinator(self) as remudad:
            err = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", request, code=69)
            self.assertIn("put it by Blobs.Put", err)
            self.grpcurl_stream(remudad.path, "remuda.v1.Blobs/Put", pieces)
            answer = self.grpcurl(remudad.path, "remuda.v1.Executor/Run", request)
            self.assertEqual(self.value_of(remudad.path, answer["outcome"]["valueReference"]),
                             content)
            err = self.grpcurl(remudad.path, "remuda.v1.Executor/Run",
                               dict(request, args=[{"int64": 1}]), code=67)
            self.assertIn("arguments_blob (and args or kwargs)", err)

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
