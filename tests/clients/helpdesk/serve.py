"""A real helpdesk on loopback: django-helpdesk on SQLite behind gunicorn, with one queue and one member of staff.

Configuration (JSON, first argument): {folder: where its files go, host: the name under which browsers reach it}.
Ready line: {url, access_log, name, password, pid}. Runs until SIGTERM or until stdin ends. Each line of the access
log is a JSON object: request, status, host, proto, forwarded_host, authorization ("-" for what was not sent).
"""

import json
import os
import secrets
import signal
import sys
import threading
from pathlib import Path

# Nothing is left beside the sources.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

CONFIG = json.loads(sys.argv[1])
FOLDER = Path(CONFIG["folder"])
os.environ.update(
    DJANGO_SETTINGS_MODULE="settings",
    HELPDESK_FOLDER=str(FOLDER),
    HELPDESK_HOST=CONFIG["host"],
    HELPDESK_SECRET=secrets.token_hex(),
)

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from gunicorn.app.base import BaseApplication
from helpdesk.models import Queue

from beside import beside

NAME, PASSWORD = "ada", secrets.token_urlsafe()
LOGGED = {"request": "r", "status": "s", "host": "{host}i", "proto": "{x-forwarded-proto}i",
          "forwarded_host": "{x-forwarded-host}i", "authorization": "{authorization}i"}


def prepare():
    call_command("migrate", verbosity=0)
    Queue.objects.create(title="Support", slug="support", allow_public_submission=True)
    User.objects.create_superuser(NAME, "ada@example.com", PASSWORD)


def ready(server):
    host, port = server.LISTENERS[0].sock.getsockname()
    print(json.dumps({
        "url": f"http://{host}:{port}", "access_log": server.cfg.accesslog, "name": NAME, "password": PASSWORD,
        "pid": os.getpid(),
    }), flush=True)


def stop_with_stdin(_worker):
    def wait():
        sys.stdin.buffer.read()
        os.kill(os.getppid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class Server(BaseApplication):
    def load_config(self):
        options = {
            "bind": "127.0.0.1:0",
            # One process, so that the views of beside.py share what they have seen.
            "workers": 1,
            "threads": 16,
            "worker_class": "gthread",
            "worker_tmp_dir": str(FOLDER),
            "keepalive": 30,
            "graceful_timeout": 1,
            "accesslog": str(FOLDER / "access.log"),
            "access_log_format": json.dumps({key: f"%({atom})s" for key, atom in LOGGED.items()}),
            "loglevel": "warning",
            "when_ready": ready,
            "post_worker_init": stop_with_stdin,
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self):
        return beside(get_wsgi_application())


if __name__ == "__main__":
    prepare()
    sys.argv = sys.argv[:1]
    Server().run()
