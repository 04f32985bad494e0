# SPDX-License-Identifier: MIT
#
# Dockerfile - collectd with the two plugins; docker-compose.yml adds the
# database, Prometheus, Alertmanager and Grafana.
#
#   docker build -t aurore .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL \
#     --security-opt no-new-privileges --memory 512m \
#     -e PGHOST=... -e PGUSER=... -e PGPASSWORD=... \
#     -v aurore-spool:/var/lib/collectd/aurore -p 127.0.0.1:3000:3000 aurore
#
# libpq's PG* variables select the database. The spool is in the volume and
# survives the container; never share one between two containers.

FROM debian:bookworm-slim AS build
SHELL ["/bin/bash", "-eu", "-c"]
COPY scripts/debian.sh /src/scripts/debian.sh
RUN . /src/scripts/debian.sh; \
    apt-get update -q; \
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends $packages_build
COPY . /src
WORKDIR /src
RUN autoreconf -fi; \
    mkdir /build; \
    cd /build; \
    /src/configure -q; \
    make -s -j"$(nproc)"; \
    make -s install-strip DESTDIR=/out

FROM debian:bookworm-slim
SHELL ["/bin/bash", "-eu", "-c"]
# collectd's processes and disk need "libmnl0" and "libudev1"; the other
# libraries are for write_prometheus, postgresql and our plugins; the health
# check needs "curl".
RUN apt-get update -q; \
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends \
        ca-certificates collectd-core curl libcurl3-gnutls libmicrohttpd12 libmnl0 \
        libpq5 libprotobuf-c1 libudev1 libyajl2 libzstd1 zlib1g; \
    rm -rf /var/lib/apt/lists/*; \
    groupadd --system --gid 990 collectd; \
    useradd --system --uid 990 --gid 990 --home-dir /var/lib/collectd \
      --shell /usr/sbin/nologin \
      collectd; \
    install -d -o collectd -g collectd /var/lib/collectd/aurore
COPY --from=build /out /
COPY docker/collectd.conf /etc/collectd/collectd.conf
# The loopback address of a container cannot be reached from outside; "docker
# run -p" decides what is published, and to whom.
RUN sed -i 's/"127\.0\.0\.1:3000"$/"0.0.0.0:3000"/' \
      /etc/collectd/collectd.conf.d/aurore.conf; \
    sed -i 's/Host "127\.0\.0\.1"/Host "0.0.0.0"/' \
      /etc/collectd/collectd.conf.d/aurore-prometheus.conf; \
    grep -q '^  Listen "0\.0\.0\.0:3000"' \
      /etc/collectd/collectd.conf.d/aurore.conf; \
    grep -q '^  Host "0\.0\.0\.0"' \
      /etc/collectd/collectd.conf.d/aurore-prometheus.conf

# A number, so that "runAsNonRoot" of Kubernetes can be sure of it.
USER 990:990
VOLUME /var/lib/collectd/aurore
EXPOSE 3000 9103
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["curl", "-fsS", "--fail-early", "-o/dev/null", "http://127.0.0.1:3000/ready", \
    "-o/dev/null", "http://127.0.0.1:9103/metrics"]
# On SIGTERM waiting events are stored, for at most ShutdownTimeout: give the
# container more time than that to stop.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/sbin/collectd", "-f", "-C", "/etc/collectd/collectd.conf"]
