"""What must hold of the pod and of what stands around it, whichever way it was rendered."""

import copy
import tomllib
import unittest

from support import charted, check, complaint, containers, environment, kustomized, one, pod, seconds

SECRETS = {"catalog_key", "database_url", "demo_secret"}


class Pod:
    """The checks; each subclass renders in its own way."""

    beside = True

    def sidegate(self):
        return containers(pod(self.things))["sidegate"]

    def labels(self):
        return one(self.things, "Deployment")["spec"]["template"]["metadata"]["labels"]

    def selects_the_pod(self, selector):
        self.assertTrue(selector)
        self.assertLessEqual(selector.items(), self.labels().items())

    def test_every_object_is_one_that_kubernetes_knows(self):
        self.assertTrue(self.things)
        for thing in self.things:
            with self.subTest(kind=thing["kind"]):
                self.assertIsNone(complaint(thing))

    def test_a_misspelt_field_would_be_noticed(self):
        for kind in {thing["kind"] for thing in self.things} - {"ConfigMap"}:
            with self.subTest(kind=kind):
                thing = copy.deepcopy(one(self.things, kind))
                thing["spec"]["misspelt"] = 1
                self.assertIsNotNone(complaint(thing))
        deployment = copy.deepcopy(one(self.things, "Deployment"))
        deployment["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
        self.assertIsNotNone(complaint(deployment))

    def test_the_service_leads_to_sidegate_and_to_nothing_else(self):
        spec = one(self.things, "Service")["spec"]
        self.selects_the_pod(spec["selector"])
        self.assertEqual([port["targetPort"] for port in spec["ports"]], [8443])
        self.assertEqual(environment(self.sidegate())["SIDEGATE__SERVER__LISTEN"], "0.0.0.0:8443")

    def test_the_network_policy_closes_the_psas_port(self):
        spec = one(self.things, "NetworkPolicy")["spec"]
        self.selects_the_pod(spec["podSelector"]["matchLabels"])
        self.assertEqual(spec["policyTypes"], ["Ingress"])
        ports = [(rule["ports"], rule.get("from")) for rule in spec["ingress"]]
        # A rule without ports would open all of them.
        self.assertEqual([[port["port"] for port in some] for some, _ in ports], [[8443], [9464]])
        self.assertTrue(all("endPort" not in port for some, _ in ports for port in some))
        self.assertTrue(ports[1][1], "everyone could read the metrics")
        if self.beside:
            psa = environment(containers(pod(self.things))["psa"])
            self.assertNotIn(int(psa["PORT"]), [8443, 9464])
            self.assertEqual(psa["HOSTNAME"], "127.0.0.1")
            self.assertNotIn("ports", containers(pod(self.things))["psa"])

    def test_probes_and_hooks_ask_where_sidegate_listens(self):
        env = environment(self.sidegate())
        self.assertEqual((env["SIDEGATE__OPS__LISTEN"], env["SIDEGATE__OPS__ALLOW_PLAINTEXT"]), ("0.0.0.0:9464", "true"))
        paths = {}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = self.sidegate()[probe]["httpGet"]
            self.assertEqual(asked["port"], 9464)
            paths[probe] = asked["path"]
        # Startup must not need the PSA, which starts afterwards.
        self.assertEqual(paths, {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"})

    def test_sidegate_is_a_native_sidecar_or_alone(self):
        spec = pod(self.things)
        if self.beside:
            self.assertEqual([container["name"] for container in spec["initContainers"]], ["sidegate"])
            self.assertEqual(self.sidegate()["restartPolicy"], "Always")
            self.assertEqual([container["name"] for container in spec["containers"]], ["psa"])
        else:
            self.assertNotIn("initContainers", spec)
            self.assertNotIn("restartPolicy", self.sidegate())

    def test_the_parts_of_a_stop_fit_into_the_grace_period(self):
        spec, env = pod(self.things), environment(self.sidegate())
        delay, call, grace = (
            seconds(env[f"SIDEGATE__SERVER__{name}"]) for name in ("DRAIN_DELAY", "CALL_TIMEOUT", "GRACE"))
        self.assertGreater(delay, 0)
        self.assertGreaterEqual(grace, call + 5)
        psa, own = (self.psa_seconds if self.beside else 0), 10
        self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], delay + grace + psa + own)
        if self.beside:
            hooks = {name: container["lifecycle"]["preStop"] for name, container in containers(spec).items()}
            self.assertEqual(hooks["sidegate"], {"exec": {"command": ["/usr/bin/sidegate", "drain"]}})
            self.assertEqual(hooks["psa"], {"httpGet": {"path": "/drained", "port": 9464}})

    def test_no_container_has_more_rights_than_it_needs(self):
        spec = pod(self.things)
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys())
        for name, container in containers(spec).items():
            with self.subTest(container=name):
                context = container["securityContext"]
                self.assertIs(context["allowPrivilegeEscalation"], False)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertGreater(context["runAsUser"], 0)
                for kind in ("requests", "limits"):
                    self.assertEqual(container["resources"][kind].keys(), {"cpu", "memory"})
        self.assertIs(self.sidegate()["securityContext"]["readOnlyRootFilesystem"], True)
        self.assertEqual(spec["securityContext"]["fsGroup"], self.sidegate()["securityContext"]["runAsGroup"])

    def test_every_mount_has_a_volume_and_every_volume_a_mount(self):
        spec = pod(self.things)
        mounts = [mount for container in containers(spec).values() for mount in container["volumeMounts"]]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        self.assertEqual({mount["name"] for mount in mounts}, volumes.keys())
        # A file mounted by subPath is never renewed.
        self.assertFalse([mount for mount in mounts if "subPath" in mount or "subPathExpr" in mount])
        for volume in volumes.values():
            for kind in ("secret", "projected"):
                if kind in volume:
                    self.assertEqual(volume[kind]["defaultMode"], 0o440)
        # All that Sidegate writes is its store.
        writable = [mount["mountPath"] for mount in self.sidegate()["volumeMounts"] if not mount.get("readOnly")]
        self.assertEqual(writable, ["/var/lib/sidegate"])
        self.assertEqual(volumes["config"]["configMap"]["name"], one(self.things, "ConfigMap")["metadata"]["name"])
        claim = volumes["store"].get("persistentVolumeClaim")
        strategy = one(self.things, "Deployment")["spec"]["strategy"]["type"]
        self.assertEqual(strategy, "Recreate" if claim else "RollingUpdate")
        if claim:
            self.assertEqual(claim["claimName"], one(self.things, "PersistentVolumeClaim")["metadata"]["name"])

    def test_the_configuration_is_one_that_sidegate_accepts_and_holds_no_secret(self):
        (text,) = one(self.things, "ConfigMap")["data"].values()
        env = environment(self.sidegate())
        self.assertNotIn(None, env.values(), "a secret as an environment variable")
        ended = check(text, env)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended)
        ended = check(text + "\n[server.nonsense]\n", env)
        self.assertEqual(ended.returncode, 1, ended)
        for section in tomllib.loads(text).values():
            for table in section if isinstance(section, list) else [section]:
                self.assertFalse(SECRETS & table.keys())

    def test_a_file_that_the_configuration_names_is_mounted(self):
        (text,) = one(self.things, "ConfigMap")["data"].values()
        config = tomllib.loads(text)
        folders = {mount["name"]: mount["mountPath"] for mount in self.sidegate()["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod(self.things)["volumes"]}
        files = {f"{folders['tls']}/tls.crt", f"{folders['tls']}/tls.key"} if "tls" in folders else set()
        if "secrets" in folders:
            for source in volumes["secrets"]["projected"]["sources"]:
                files |= {f"{folders['secrets']}/{item['path']}" for item in source["secret"]["items"]}
        named = {value for section in ("server", "psa", "idp") for key, value in config.get(section, {}).items() if key.endswith("_file")}
        self.assertLessEqual(named, files)
        self.assertEqual(config["store"]["url"], f"sqlite://{folders['store']}/sidegate.db")

    def test_an_eviction_is_possible_and_the_monitor_finds_the_port(self):
        budget = one(self.things, "PodDisruptionBudget")["spec"]
        self.selects_the_pod(budget["selector"]["matchLabels"])
        self.assertEqual(budget["maxUnavailable"], 1)
        for monitor in [thing for thing in self.things if thing["kind"] == "PodMonitor"]:
            self.selects_the_pod(monitor["spec"]["selector"]["matchLabels"])
            ports = {port["name"]: port["containerPort"] for port in self.sidegate()["ports"]}
            self.assertEqual([ports[end["port"]] for end in monitor["spec"]["podMetricsEndpoints"]], [9464])


class Base(Pod, unittest.TestCase):
    """deploy/kubernetes/base"""

    psa_seconds = 30

    @classmethod
    def setUpClass(cls):
        cls.things = kustomized("base")


class Example(Pod, unittest.TestCase):
    """deploy/kubernetes/example, with the PodMonitor"""

    psa_seconds = 30

    @classmethod
    def setUpClass(cls):
        cls.things = kustomized("example")

    def test_it_is_the_base_with_other_names(self):
        self.assertEqual({thing["metadata"]["namespace"] for thing in self.things}, {"psa"})
        images = {name: container["image"] for name, container in containers(pod(self.things)).items()}
        base = {name: container["image"] for name, container in containers(pod(kustomized("base"))).items()}
        self.assertFalse(set(images.values()) & set(base.values()))
        one(self.things, "PodMonitor")


class Chart(Pod, unittest.TestCase):
    """deploy/helm/sidegate with its defaults, and the PodMonitor"""

    psa_seconds = 30

    @classmethod
    def setUpClass(cls):
        cls.things = charted("--set", "podMonitor.enabled=true")


class ChartAlone(Pod, unittest.TestCase):
    """The chart for a PSA elsewhere, with other times and everything optional set"""

    beside = False

    @classmethod
    def setUpClass(cls):
        values = ["psa.enabled=false", "shutdown.callTimeoutSeconds=300", "shutdown.drainDelaySeconds=20",
                  "imagePullSecrets[0].name=registry", "podLabels.team=msp", "podAnnotations.note=text",
                  "nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "priorityClassName=high",
                  "podMonitor.enabled=true", "podMonitor.labels.release=prometheus", "service.annotations.note=text",
                  "networkPolicy.agents[0].ipBlock.cidr=10.0.0.0/8", "persistence.storageClassName=fast",
                  "extraEnv[0].name=SIDEGATE__LOG__FILTER", "extraEnv[0].value=debug",
                  "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
                  "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=zone",
                  "image.digest=sha256:" + 64 * "0"]
        cls.things = charted(*[word for value in values for word in ("--set", value)])


class ChartWithoutVolume(Pod, unittest.TestCase):
    """The chart with a store that is made again at each start"""

    psa_seconds = 45

    @classmethod
    def setUpClass(cls):
        cls.things = charted("--set", "persistence.enabled=false", "--set", "shutdown.psaSeconds=45")

    def test_no_claim_is_made(self):
        self.assertNotIn("PersistentVolumeClaim", {thing["kind"] for thing in self.things})
