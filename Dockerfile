# The service: docker build -t execution-ledger . ; docs/operating.md tells how to run it, compose.yaml runs it with PostgreSQL.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/ledger
COPY requirements.lock ./
RUN /opt/ledger/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY infrastructure infrastructure
COPY projections projections
COPY api api
RUN /opt/ledger/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home ledger
COPY --from=build /opt/ledger /opt/ledger
ENV PATH=/opt/ledger/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EXECUTION_LEDGER_HOST=0.0.0.0 \
    EXECUTION_LEDGER_AUTH=true \
    EXECUTION_LEDGER_LOG_FORMAT=json
# Where a SQLite file lies, if no EXECUTION_LEDGER_DATABASE_URL names a server.
WORKDIR /data
VOLUME /data
USER 10001
EXPOSE 8470
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('EXECUTION_LEDGER_PORT', '8470') + '/healthz', timeout=4)"]
ENTRYPOINT ["execution-ledger"]
CMD ["serve"]
