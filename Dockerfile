# The server with its sandbox. Runs as an ordinary user; bubblewrap needs unprivileged user namespaces
# (see docs/operations.md for what the container must be allowed).
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY requirements/runtime.lock requirements/runtime.lock
RUN python -m venv /opt/darner && /opt/darner/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.lock
COPY . .
RUN /opt/darner/bin/pip install --no-cache-dir setuptools wheel \
 && /opt/darner/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap git python3 ripgrep \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 darner \
 && install -d -o darner -g darner /data
COPY --from=build /opt/darner /opt/darner
ENV PATH=/opt/darner/bin:$PATH DARNER_HOME=/data DARNER_HOST=0.0.0.0
USER darner
VOLUME /data
EXPOSE 8484
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8484/healthz', timeout=3)"]
ENTRYPOINT ["darner"]
CMD ["serve"]
