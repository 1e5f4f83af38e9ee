"""Rules, alerts and the dashboard, with Debian's own Prometheus scraping a demo under load."""

import concurrent.futures
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml
from support import DEPLOY, variable

HERE = DEPLOY / "prometheus"
DASHBOARD = json.loads((HERE / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((HERE / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
# Grafana fills these in; the load below is over within the window.
WINDOW = {"$__rate_interval": "20s", "$__range": "60s", "$job": "sidegate", "$instance": ".*", "$agent": ".*"}
# What is zero throughout while all is well, by panel and what its legend says.
ZERO_WHILE_ALL_IS_WELL = {
    ("Failed by the PSA", ""): "the PSA answers",
    ("Keys made and removed", "removal failed"): "keys are removed",
    ("Records written and failures", "failed attempts"): "the disk takes them",
    ("Oldest unwritten record", ""): "records wait for milliseconds, and a scrape seldom falls among them",
    ("Oldest unwritten record", "{{instance}}"): "the same",
    ("Records waiting", "{{instance}}"): "the same",
    ("Share of each bound", "audit queue"): "the same",
    ("Connections ended by Sidegate", "too many"): "4096 may be open",
    ("Connections ended by Sidegate", "too slow: {{reason}}"): "nobody is slow for long enough",
}


def promtool(*arguments, given=None):
    command = [Path(variable("SIDEGATE_TEST_PROMETHEUS")) / "promtool", *arguments]
    return subprocess.run(command, input=given, text=True, capture_output=True, timeout=60)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(what, true):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within 30 s: {what}")


def queries():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


def filled(query):
    for name in sorted(WINDOW, key=len, reverse=True):
        query = query.replace(name, WINDOW[name])
    return query


class Files(unittest.TestCase):
    def test_promtool_has_nothing_against_the_rules_and_the_example(self):
        for arguments in (["check", "rules", "--lint=all", "--lint-fatal", HERE / "rules.yml"], ["check", "config", HERE / "prometheus.yml"]):
            ended = promtool(*arguments)
            self.assertEqual(ended.returncode, 0, ended)

    def test_the_rules_do_what_their_tests_say(self):
        ended = promtool("test", "rules", HERE / "rules_test.yml")
        self.assertEqual((ended.returncode, "SUCCESS" in ended.stdout), (0, True), ended)

    def test_every_alert_is_shown_firing_and_silent_and_says_what_to_do(self):
        fires, silent = set(), set()
        for test in yaml.safe_load((HERE / "rules_test.yml").read_text())["tests"]:
            for case in test["alert_rule_test"]:
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
        self.assertEqual((fires, silent), (set(ALERTS), set(ALERTS)))
        readme = (HERE / "README.md").read_text()
        for name, rule in ALERTS.items():
            self.assertIn(f"\n### {name}\n", readme)
            self.assertEqual(rule["annotations"]["runbook"], f"deploy/prometheus/README.md#{name.lower()}")
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook"}, name)
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
        self.assertEqual(set(re.findall(r"\n### (Sidegate\w+)\n", readme)), set(ALERTS))

    def test_the_panels_have_places_and_names_of_their_own(self):
        panels = DASHBOARD["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            taken |= cells
        for title, target in queries():
            self.assertEqual(target["datasource"]["uid"], "${datasource}", title)


class Scraped(unittest.TestCase):
    """A demo, a second Sidegate before the same PSA that also passes people through, and Prometheus."""

    @classmethod
    def setUpClass(cls):
        cls.began = time.time()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.demo = json.loads(cls.start("demo", variable("SIDEGATE_TEST_BINARY"), "demo", "--json", "--port", "0", first_line=True))
        cls.mcp = urllib.parse.urlsplit(cls.demo["mcp_url"])
        cls.tls = ssl.create_default_context(cafile=cls.demo["ca_file"])
        cls.second, second_ops, cls.second_config, process = cls.start_second()
        targets = [urllib.parse.urlsplit(cls.demo["metrics_url"]).netloc, f"127.0.0.1:{second_ops}"]
        cls.prometheus = cls.start_prometheus(targets)
        until("both are scraped", lambda: cls.value("count(sidegate_ready == 1)") == 2)
        process.send_signal(signal.SIGHUP)
        cls.load()
        time.sleep(2.5)

    @classmethod
    def start(cls, name, *command, first_line=False):
        log = open(cls.folder / f"{name}.log", "w")
        cls.addClassCleanup(log.close)
        # A demo leaves a note in the folder of temporary files; and whoever kills this test kills what it started.
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(cls.folder)}
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)], env=env, cwd=cls.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if first_line else log, stderr=log)

        def stop():
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

        cls.addClassCleanup(stop)
        return process.stdout.readline() if first_line else process

    @classmethod
    def start_second(cls):
        """The demo's configuration with ports and a store of its own; one agent may only read; people pass through."""
        port, ops = free_port(), free_port()
        text = Path(cls.demo["config_file"]).read_text()
        for old, new in (
            (r"(?m)^\[server\]\nlisten = .*$", f'[server]\nlisten = ["127.0.0.1:{port}"]'),
            (r"(?m)^\[admin\]\nlisten = .*$", "[admin]\nlisten = []"),
            (r"(?m)^\[ops\]\nlisten = .*$", f'[ops]\nlisten = "127.0.0.1:{ops}"'),
            (r"(?m)^url = \"sqlite:.*$", f'url = "sqlite://{cls.folder}/second.db"'),
            (r"(?m)^path = .*audit.jsonl\"$", f'path = "{cls.folder}/second.jsonl"'),
            (r'(?s)(name = "reader".*?max_effect = )"destroy"', r'\1"read"'),
            (r"(?m)^\[psa\]$", '[psa]\ncatalog_refresh = "3s"'),
            (r"(?m)^\[idp\]$", "[passthrough]\nenabled = true\n\n[idp]"),
        ):
            text, count = re.subn(old, new, text)
            assert count == 1, f"{old} is there {count} times\n{text}"
        config = cls.folder / "second.toml"
        config.touch(0o600)
        config.write_text(text)
        process = cls.start("second", variable("SIDEGATE_TEST_BINARY"), "serve", "--config", config)
        until("the second is ready", lambda: get(f"http://127.0.0.1:{ops}/readyz")[0] == 200)
        return port, ops, config, process

    @classmethod
    def start_prometheus(cls, targets):
        config = yaml.safe_load((HERE / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
        (cls.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(HERE / "rules.yml", cls.folder)
        address = f"127.0.0.1:{free_port()}"
        cls.start(
            "prometheus", Path(variable("SIDEGATE_TEST_PROMETHEUS")) / "prometheus", "--config.file=prometheus.yml",
            "--storage.tsdb.path=data", f"--web.listen-address={address}")
        until("Prometheus is ready", lambda: get(f"http://{address}/-/ready")[0] == 200)
        return f"http://{address}/api/v1"

    @classmethod
    def send(cls, port, token, message, path=None):
        connection = http.client.HTTPSConnection("localhost", port, context=cls.tls, timeout=20)
        headers = {"Host": cls.mcp.netloc, "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request("GET" if path else "POST", path or cls.mcp.path, message and json.dumps(message), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @classmethod
    def call(cls, port, token, tool, arguments):
        params = {"name": tool, "arguments": arguments}
        return cls.send(port, token, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    @classmethod
    def load(cls):
        """Some of everything for eight seconds, longer where the machine is busy: good, useless, denied and refused."""
        technician, reader = cls.demo["token"], cls.demo["second_token"]
        ports = (cls.mcp.port, cls.second)
        contact = {"entryId": "post-_api_v1_contacts", "body": {"full_name": "Ada Load", "email": "ada@example.com"}}
        kinds = [
            lambda port, n: cls.call(port, technician, "call_api_endpoint", {"entryId": "get-_api_v1_tickets", "query": {"limit": 3}}),
            lambda port, n: cls.call(port, reader, "call_api_endpoint", {"entryId": "get-_api_v1_tickets_stats"}),
            lambda port, n: cls.call(port, technician, "search_api_registry", {"query": "ticket"}),
            lambda port, n: cls.call(port, technician, "search_business_data", {"query": "printer"}),
            lambda port, n: cls.call(port, technician, "call_api_endpoint", contact),
            lambda port, n: cls.call(port, reader, "call_api_endpoint", contact),
            lambda port, n: cls.call(port, technician, "call_api_endpoint", {"entryId": "no-such-entry"}),
            lambda port, n: cls.call(port, technician, f"made-up-{n}", {}),
            lambda port, n: cls.send(port, technician, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
            lambda port, n: cls.send(port, None, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
            lambda port, n: cls.call(port, technician[:-8] + "AAAAAAAA", "search_api_registry", {"query": "ticket"}),
            lambda port, n: cls.call(port, f"guess-{n}", "search_api_registry", {"query": "ticket"}),
            lambda port, n: cls.send(port, None, None, path="/api/v1/tickets"),
        ]
        # Somebody who takes a while to say what he wants, and somebody who speaks no TLS.
        slow = cls.tls.wrap_socket(socket.create_connection(("localhost", cls.mcp.port)), server_hostname="localhost")
        head = f"POST {cls.mcp.path} HTTP/1.1\r\nHost: {cls.mcp.netloc}\r\nAuthorization: Bearer {technician}\r\n"
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 5\r\n\r\n".encode())
        idle = cls.tls.wrap_socket(socket.create_connection(("localhost", cls.mcp.port)), server_hostname="localhost")
        cls.addClassCleanup(idle.close)
        with socket.create_connection(("localhost", cls.mcp.port)) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            plain.recv(100)
        cls.statuses, end, n = {}, time.monotonic() + 8, 0
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            while time.monotonic() < end or n < 20:
                asked = [(kind, pool.submit(ask, port, n)) for port in ports for kind, ask in enumerate(kinds)]
                for kind, answer in asked:
                    cls.statuses.setdefault(kind, set()).add(answer.result()[0])
                n += 1
                # An agent has 600 calls a minute.
                time.sleep(0.15)
        slow.close()
        disable = [variable("SIDEGATE_TEST_BINARY"), "agent", "disable", "reader", "--config", cls.second_config]
        subprocess.run(disable, check=True, capture_output=True, timeout=20)
        until("the reader is off", lambda: cls.call(cls.second, reader, "search_api_registry", {"query": "x"})[0] == 403)

    @classmethod
    def ask(cls, verb, **parameters):
        status, text = get(f"{cls.prometheus}/{verb}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(text)
        assert status == 200 and not answer.get("warnings"), f"{parameters}: {text[:500]}"
        return answer["data"]

    @classmethod
    def value(cls, query):
        result = cls.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def numbers(self, target):
        """All finite numbers that the panel would show."""
        query = filled(target["expr"])
        if target.get("instant"):
            points = [series["value"] for series in self.ask("query", query=query)["result"]]
        else:
            data = self.ask("query_range", query=query, start=self.began, end=time.time(), step=1)
            points = [point for series in data["result"] for point in series["values"]]
        return [number for _, text in points if math.isfinite(number := float(text))]

    def test_the_load_was_what_it_should_be(self):
        ok, unauthorized = {200}, {401, 429}
        self.assertEqual([self.statuses[kind] for kind in range(9)], [ok] * 9)
        self.assertEqual(self.statuses[9], {401})
        for kind in (10, 11):
            self.assertTrue(self.statuses[kind] <= unauthorized, self.statuses)

    def test_promtool_has_nothing_against_the_metrics(self):
        _, text = get(self.demo["metrics_url"])
        ended = promtool("check", "metrics", given=text)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))

    def test_no_name_that_a_caller_made_up_is_a_label(self):
        _, text = get(self.demo["metrics_url"])
        self.assertIn('tool="unknown"', text)
        self.assertNotIn("made-up", text)
        self.assertNotIn("no-such-entry", text)
        self.assertNotIn("guess-", text)
        self.assertEqual(set(re.findall(r'agent="([^"]*)"', text)), {"technician", "reader"})

    def test_every_query_of_the_dashboard_returns_data(self):
        zero = set()
        for title, target in queries():
            with self.subTest(panel=title, query=target["expr"]):
                numbers = self.numbers(target)
                self.assertTrue(numbers, "no data")
                if not any(numbers):
                    zero.add((title, target["legendFormat"]))
        self.assertLessEqual(zero, set(ZERO_WHILE_ALL_IS_WELL))

    def test_the_variables_and_annotations_of_the_dashboard_return_data(self):
        for variable in DASHBOARD["templating"]["list"][1:]:
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            self.assertTrue(self.ask(f"label/{label}/values", **{"match[]": filled(selector)}), variable["name"])
        for annotation in DASHBOARD["annotations"]["list"]:
            # Nothing was restarted; that it can be asked is all.
            self.assertEqual(self.ask("query", query=filled(annotation["expr"]))["result"], [])

    def test_the_rules_are_evaluated_and_alarm_only_about_the_bad_tokens(self):
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(len(rules), len(RULES))
        for rule in rules:
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
            if rule["type"] == "recording":
                self.assertTrue(self.ask("query", query=rule["name"])["result"], rule["name"])

        def firing():
            return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

        until("an alert fires", firing)
        self.assertEqual(firing(), {"SidegateFailedAuthentications"})


if __name__ == "__main__":
    unittest.main()
