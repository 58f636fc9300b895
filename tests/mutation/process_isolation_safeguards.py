"""The safeguards of servers and processes: which programs run, what they are given, and whom they believe."""

from tests.mutation.safeguard import Safeguard

PROCESS_SAFEGUARDS = (
    Safeguard(
        "pinned wheels: a server on PATH is taken silently",
        "infra/ops/devstack/server_binaries.py",
        'if self.source == "path" else None',
        "",
        ("tests/infra/ops/devstack/test_server_binaries.py::test_the_wheel_is_used_whatever_is_on_path",),
    ),
    Safeguard(
        "minimum versions: an old server is used",
        "infra/ops/devstack/server_versions.py",
        "    if version >= minimum:\n",
        "    if version or minimum:\n",
        ("tests/infra/ops/devstack/test_server_binaries.py::test_an_old_server_is_refused_with_both_versions",),
    ),
    Safeguard(
        "data of another PostgreSQL: the server is started on it",
        "infra/ops/devstack/postgres.py",
        "if of_data and of_data != of_server:",
        "if not of_server:",
        ("tests/infra/ops/devstack/test_server_binaries.py::test_postgres_data_of_another_major_version_is_refused",),
    ),
    Safeguard(
        "environment of servers: they inherit everything",
        "infra/ops/devstack/child_environment.py",
        "    return _select(os.environ, SYSTEM_VARIABLES)",
        "    return dict(os.environ)",
        ("tests/infra/ops/devstack/test_service_programs.py::test_a_program_is_given_only_what_it_needs",),
    ),
    Safeguard(
        "environment of services: they get the settings of others",
        "infra/ops/devstack/child_environment.py",
        "if name.upper() in known}",
        "if known}",
        ("tests/infra/ops/devstack/test_service_programs.py::test_a_program_is_given_only_what_it_needs",),
    ),
    Safeguard(
        "private files: other users can read the logs",
        "infra/ops/devstack/supervised_process.py",
        "        create_private_file(program.log)\n",
        "",
        ("tests/e2e/test_secrets.py::test_no_other_user_can_read_a_file_of_the_shop",),
    ),
    Safeguard(
        "refused.log: the path of an error page is written",
        "nginx/nginx.conf.j2",
        '"path":"$souk_refused_path"',
        '"path":"$uri"',
        ("tests/nginx/test_nginx.py::test_refusals_are_logged_with_method_and_path_without_the_query",),
    ),
    Safeguard(
        "client address: any program on loopback chooses its own",
        "edge/client_ip.py",
        "if not self._is_trusted(peer) and not self._is_our_nginx(secret):",
        'if not self._is_trusted(peer) and not self._is_our_nginx(secret) and not peer.startswith("127."):',
        (
            "tests/edge/test_client_ip.py::test_no_network_is_trusted_by_default",
            "tests/edge/test_client_ip.py::test_nginx_proves_itself_with_the_secret",
        ),
    ),
    Safeguard(
        "client address: only the first line of X-Forwarded-For is read",
        "edge/client_ip.py",
        '",".join(forwarded_for) or real_ip',
        '"".join(forwarded_for[:1]) or real_ip',
        ("tests/edge/test_client_ip.py::test_trusts_only_its_own_proxies",),
    ),
    Safeguard(
        "proxy secret: Nginx forwards the client's own",
        "nginx/macros.j2",
        'proxy_set_header {{ proxy_secret_header }} "{{ proxy_secret }}";',
        "",
        ("tests/nginx/test_nginx.py::test_a_client_cannot_send_the_secret_of_nginx",),
    ),
    Safeguard(
        "compose: a setting does not reach its container",
        "docker-compose.yml",
        "      SOUK_SHOP_NAME:\n",
        "",
        ("tests/infra/ops/deploy/test_container_settings.py::test_every_setting_reaches_the_container_that_reads_it",),
    ),
    Safeguard(
        "compose: NATS monitoring is open to other machines",
        "docker-compose.yml",
        'ports: ["127.0.0.1:${SOUK_NATS_MONITOR_PORT:-8222}:8222"]',
        'ports: ["${SOUK_BIND:-127.0.0.1}:${SOUK_NATS_MONITOR_PORT:-8222}:8222"]',
        ("tests/infra/ops/deploy/test_compose.py::test_only_nginx_and_monitoring_are_published_on_loopback",),
    ),
    Safeguard(
        "compose: the password of the mail server is lost",
        "infra/ops/cli/compose_setup.py",
        "        _write_if_changed(mail, password.encode())\n",
        '        _write_if_changed(mail, b"")\n',
        ("tests/infra/ops/deploy/test_compose_secrets.py::test_chosen_passwords_are_written_to_files",),
    ),
)
