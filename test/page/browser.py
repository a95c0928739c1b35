"""A headless Chromium, driven through chromedriver by the W3C WebDriver protocol: a few requests of JSON, so nothing is installed for it.

Console messages and every request that the browser makes come from the driver's logs.
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import tempfile

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps", "--hide-scrollbars",
         "--disable-dev-shm-usage", "--no-proxy-server"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TAB, SHIFT, ENTER, SPACE, ESCAPE = "\ue004", "\ue008", "\ue007", " ", "\ue00c"


def installed():
    return shutil.which("chromium"), shutil.which("chromedriver")


class Browser:
    def __init__(self, width=1440, height=1000, dark=False):
        chromium, chromedriver = installed()
        self.folder = tempfile.mkdtemp(prefix="parley-page-")
        self.session = None
        self.driver = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       env=dict(os.environ, HOME=self.folder))
        self.port = None
        for line in self.driver.stdout:  # "ChromeDriver was started successfully on port 12345."
            if "started successfully on port" in line:
                self.port = int(line.rstrip(". \n").split()[-1])
                break
        assert self.port, "chromedriver did not start"
        options = {"binary": chromium, "args": FLAGS + ["--user-data-dir=%s/profile" % self.folder, "--window-size=%d,%d" % (width, height)]
                   + ["--blink-settings=preferredColorScheme=%d" % (0 if dark else 1)]}
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})["sessionId"]

    def ask(self, method, path, body=None):
        if self.session is not None:
            path = "/session/%s%s" % (self.session, path)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise AssertionError("%s %s: %s" % (method, path, value["message"].splitlines()[0]))
        return value

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            self.driver.stdout.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector):
        return self.run("const e = document.querySelector(arguments[0]); return e === null ? null : e.innerText", selector)

    def press(self, *keys):
        actions = []
        for key in keys:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def size(self, width, height):
        self.ask("POST", "/window/rect", {"width": width, "height": height})

    def command(self, name, **parameters):  # of Chrome's own protocol
        return self.ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self, path, width, height, scale=1):
        """The page at this size; height 0: as long as it is."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height or 900, deviceScaleFactor=scale, mobile=False)
        if height == 0:
            height = self.run("return document.documentElement.scrollHeight")
            self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        data = base64.b64decode(self.ask("GET", "/screenshot"))
        self.command("Emulation.clearDeviceMetricsOverride")
        with open(path, "wb") as out:
            out.write(data)

    def console(self):
        """Messages since the last call, as (level, text)."""
        return [(entry["level"], entry["message"]) for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses asked for since the last call."""
        urls = []
        for entry in self.ask("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
        return urls
