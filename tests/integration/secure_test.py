"""A coordinator on TCP that is closed: TLS, certificates, tokens; and what those who are not let in
are told."""

import os
import shutil
import subprocess
import unittest

from harness import BIN, IN_CI, Case, Coordinator, main, wait_until


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Secure(Case):
    """Each test has an authority `ca`, and certificates for the server, an agent and a stranger."""

    def setUp(self):
        super().setUp()
        for authority in ("ca", "other"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", self.path(f"{authority}.key"), "-out", self.path(f"{authority}.crt"),
                    "-days", "2", "-subj", f"/CN={authority}")
        self.certificate("server", "ca", "DNS:localhost,IP:127.0.0.1")
        self.tokens = self.path("tokens")

    def path(self, name):
        return os.path.join(self.folder, name)

    def certificate(self, name, authority, san):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"), "-subj", f"/CN={name}")
        with open(self.path("ext"), "w", encoding="ascii") as file:
            file.write(f"subjectAltName={san}\n")
        openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{authority}.crt"),
                "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial", "-days", "2", "-extfile",
                self.path("ext"), "-out", self.path(f"{name}.crt"))

    def token(self, name, *options):
        return self.tool("token", "create", "--file", self.tokens, *options, name).stdout.strip()

    def tool(self, *command, check=True, **env):
        done = subprocess.run(["remuda", *command], env={**self.env, **env}, capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def tls(self):
        return ["--tls-cert", self.path("server.crt"), "--tls-key", self.path("server.key")]

    def square(self, address, check=True, **env):
        return self.tool("run", "--address", address, "native:demo.square", "12", check=check, **env)

    def coordinator(self, *options):
        return Coordinator(self, *options, listen="tcp:127.0.0.1:0", workers=1)

    def test_who_has_a_token_is_served(self):
        token = self.token("ann")
        with self.coordinator(*self.tls(), "--tokens", self.tokens) as coordinator:
            env = {"REMUDA_CA": self.path("ca.crt"), "REMUDA_TOKEN": token}
            self.assertEqual(self.square(coordinator.address, **env).stdout, "144\n")
            self.assertIn("idle", self.tool("workers", "--address", coordinator.address, **env).stdout)

    def test_who_has_none_is_told(self):
        self.token("ann")
        with self.coordinator(*self.tls(), "--tokens", self.tokens) as coordinator:
            address, ca = coordinator.address, self.path("ca.crt")
            for env, says in (({"REMUDA_CA": ca}, "a token is wanted here"),
                              ({"REMUDA_CA": ca, "REMUDA_TOKEN": "rmd_x"}, "not known here"),
                              ({"REMUDA_CA": self.path("other.crt"), "REMUDA_TOKEN": "rmd_x"},
                               "certificate verify failed"),
                              ({}, "it may want TLS"),
                              ({"REMUDA_TOKEN": "rmd_x"}, "a token is not sent without TLS")):
                done = self.square(address, check=False, **env)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertIn(says, done.stderr)

    def test_a_token_that_is_taken_back_is_good_no_longer(self):
        token = self.token("ann")
        with self.coordinator(*self.tls(), "--tokens", self.tokens) as coordinator:
            env = {"REMUDA_CA": self.path("ca.crt"), "REMUDA_TOKEN": token}
            self.square(coordinator.address, **env)
            self.tool("token", "revoke", "--file", self.tokens, "ann")
            wait_until(lambda: self.square(coordinator.address, check=False, **env).returncode == 3,
                       "the token is not good any more")
            env["REMUDA_TOKEN"] = self.token("ann")
            wait_until(lambda: self.square(coordinator.address, check=False, **env).returncode == 0,
                       "the new one is")

    def test_an_agent_joins_with_its_token(self):
        token = self.token("host-1")
        with open(self.path("agent.token"), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(token + "\n")
        with Coordinator(self, *self.tls(), "--tokens", self.tokens, listen="tcp:127.0.0.1:0",
                         workers=None) as coordinator:
            agent = self.start(os.path.join(BIN, "remuda-agent"), "--coordinator",
                               coordinator.address, "--tls-ca", self.path("ca.crt"), "--token-file",
                               self.path("agent.token"))
            try:
                done = self.square(coordinator.address, REMUDA_CA=self.path("ca.crt"),
                                   REMUDA_TOKEN=token)
                self.assertEqual(done.stdout, "144\n")
            finally:
                agent.terminate()
                agent.communicate(timeout=60)

    def test_certificates_may_say_who_comes(self):
        self.certificate("ann", "ca", "DNS:ann")
        self.certificate("stranger", "other", "DNS:ann")
        with self.coordinator(*self.tls(), "--tls-ca", self.path("ca.crt")) as coordinator:
            env = {"REMUDA_CA": self.path("ca.crt"), "REMUDA_CERT": self.path("ann.crt"),
                   "REMUDA_KEY": self.path("ann.key")}
            self.assertEqual(self.square(coordinator.address, **env).stdout, "144\n")
            env.update(REMUDA_CERT=self.path("stranger.crt"), REMUDA_KEY=self.path("stranger.key"))
            self.assertEqual(self.square(coordinator.address, check=False, **env).returncode, 3)

    def test_grpcurl_with_a_token(self):
        if shutil.which("grpcurl", path=self.env["PATH"]) is None:
            if IN_CI:
                self.fail("grpcurl is missing")
            self.skipTest("grpcurl is not installed")
        token = self.token("ann")
        with self.coordinator(*self.tls(), "--tokens", self.tokens) as coordinator:
            command = ["grpcurl", "-cacert", self.path("ca.crt"), "-d",
                       '{"function":"native:demo.square","args":[{"int64":21}]}']
            place = [coordinator.address.removeprefix("tcp:"), "remuda.v1.Executor/Run"]
            done = subprocess.run([*command, "-H", f"authorization: Bearer {token}", *place],
                                  env=self.env, capture_output=True, text=True, timeout=60)
            self.assertIn('"441"', done.stdout, done.stderr)
            done = subprocess.run([*command, *place], env=self.env, capture_output=True, text=True,
                                  timeout=60)
            self.assertIn("Unauthenticated", done.stderr)

    def refused(self, *options):
        done = subprocess.run(["remudad", *options], env=self.env, capture_output=True, text=True,
                              timeout=60)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_mistakes_are_told_at_the_start(self):
        listen = ["--listen", "tcp:127.0.0.1:0"]
        self.assertIn("a task is code", self.refused(*listen))
        self.assertIn("a task is code", self.refused(*listen, *self.tls()))
        self.assertIn("both --tls-cert and --tls-key",
                      self.refused(*listen, "--tls-cert", self.path("server.crt")))
        self.assertIn("need TLS", self.refused(*listen, "--tokens", self.tokens))
        missing = self.refused(*listen, *self.tls(), "--tokens", self.path("nowhere"))
        self.assertIn("nowhere: No such file", missing)
        with open(self.tokens, "w", encoding="ascii") as file:
            file.write("# fine\nann\n")
        self.assertIn("tokens:2: this line", self.refused(*listen, *self.tls(), "--tokens", self.tokens))
        swapped = ["--tls-cert", self.path("ca.crt"), "--tls-key", self.path("server.key")]
        self.assertIn("is not that of the certificate",
                      self.refused(*listen, *swapped, "--tls-ca", self.path("ca.crt")))

    def test_the_file_of_tokens(self):
        self.token("ann", "--days", "30")
        self.token("bob")
        listed = self.tool("token", "list", "--file", self.tokens).stdout.splitlines()
        self.assertEqual([line.split()[0] for line in listed], ["NAME", "ann", "bob"])
        self.assertEqual(listed[2].split()[1:], ["never", "good"])
        again = self.tool("token", "create", "--file", self.tokens, "ann", check=False)
        self.assertEqual(again.returncode, 2)
        self.assertIn("revoke it first", again.stderr)
        self.assertEqual(os.stat(self.tokens).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    main()
