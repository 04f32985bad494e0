/* SPDX-License-Identifier: MIT
 *
 * tables_options - what is made from the table of options: conf.d/aurore.conf
 * and the manual page, docs/man/collectd-aurore.pod.
 */
#include "config/option_value.h"
#include "config/options.h"
#include "tables.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 80

/* Prints the words of a text in lines that begin with "prefix". */
static void print_wrapped(const char *prefix, const char *text) {
  size_t column = 0; /* 0: no line has been begun */
  while (*text != '\0') {
    size_t length = strcspn(text, " ");
    if (column > 0 && column + 1 + length > COLUMNS) {
      putchar('\n');
      column = 0;
    }
    column +=
        (size_t)printf("%s%.*s", column == 0 ? prefix : " ", (int)length, text);
    text += length;
    text += strspn(text, " ");
  }
  putchar('\n');
}

/* A value as the configuration file writes it: collectd reads numbers and
 * booleans without quotes. */
static const char *quote_of(const char *value) {
  double ignored = 0;
  bool is_bare = au_option_number(value, &ignored) ||
                 strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
  return is_bare ? "" : "\"";
}

/* "0.01 to 60" is a range, and so are sizes; a set of values is not. */
static void describe(const au_option_info_t *info, char *text, size_t size) {
  const char *quote = quote_of(info->default_text);
  bool is_range = isdigit((unsigned char)info->range_text[0]);
  (void)snprintf(text, size, "Default: %s%s%s. %s: %s.", quote,
                 info->default_text, quote, is_range ? "Range" : "Allowed",
                 info->range_text);
}

/* --- conf.d/aurore.conf ----------------------------------------------------
 */

static const char conf_head[] =
    "# aurore: events over HTTP into a bounded, crash-safe buffer "
    "(event_buffer), and\n"
    "# from there into PostgreSQL, each exactly once (event_writer).\n"
    "#\n"
    "# Every option is shown; those that are commented out have their default. "
    "Times\n"
    "# are in seconds and may have a fraction; sizes are in bytes, or written "
    "as\n"
    "# \"64KiB\", \"1MiB\" or \"1GiB\". An unknown option or a value that is "
    "not "
    "allowed\n"
    "# stops collectd when it starts, with a message that names it.\n"
    "# collectd-aurore(5) says more about the options.\n"
    "#\n"
    "# The database must exist, and the user that collectd runs as (root on "
    "Debian)\n"
    "# must be allowed to create a schema in it. With PostgreSQL on this "
    "machine:\n"
    "#\n"
    "#   runuser -u postgres -- createuser root\n"
    "#   runuser -u postgres -- createdb --owner=root --encoding=UTF8 \\\n"
    "#     --template=template0 aurore_events\n"
    "\n"
    "# Any TypesDB line turns the default file off, so both are named.\n"
    "TypesDB \"/usr/share/collectd/types.db\" "
    "\"/usr/share/collectd/aurore.types.db\"\n"
    "\n"
    "# collectd ignores a <Plugin> block that comes before its LoadPlugin "
    "line.\n";

static void print_conf_option(const au_option_info_t *info) {
  char text[512];
  bool is_active = info->installed != NULL;
  const char *value = is_active ? info->installed : info->default_text;
  const char *quote = quote_of(value);
  if (info->group != NULL)
    printf("  # --- %s ---\n\n", info->group);
  print_wrapped("  # ", info->help);
  describe(info, text, sizeof(text));
  print_wrapped("  # ", text);
  printf("  %s%s %s%s%s\n", is_active ? "" : "#", info->name, quote, value,
         quote);
}

static void print_conf_block(const char *plugin, au_side_t side) {
  au_option_info_t info;
  const char *separator = "";
  printf("LoadPlugin %s\n<Plugin %s>\n", plugin, plugin);
  for (size_t i = 0; au_option_info(i, &info); i++) {
    if (info.side != side)
      continue;
    fputs(separator, stdout);
    print_conf_option(&info);
    separator = "\n";
  }
  puts("</Plugin>");
}

void tables_aurore_conf(void) {
  fputs(conf_head, stdout);
  print_conf_block("event_buffer", AU_SIDE_BUFFER);
  putchar('\n');
  print_conf_block("event_writer", AU_SIDE_WRITER);
}

/* --- docs/man/collectd-aurore.pod ------------------------------------------
 */

static const char pod_head[] =
    "=encoding utf8\n"
    "\n"
    "=for comment Made from plugins/aurore/config/options_table.c by\n"
    "tests/tools/tables; not edited by hand.\n"
    "\n"
    "=head1 NAME\n"
    "\n"
    "collectd-aurore - configuration of the collectd plugins event_buffer and "
    "event_writer\n"
    "\n"
    "=head1 SYNOPSIS\n"
    "\n"
    "  TypesDB \"/usr/share/collectd/types.db\" "
    "\"/usr/share/collectd/aurore.types.db\"\n"
    "\n"
    "  LoadPlugin event_buffer\n"
    "  <Plugin event_buffer>\n"
    "    Listen \"127.0.0.1:3000\"\n"
    "    SpoolDirectory \"/var/lib/collectd/aurore\"\n"
    "  </Plugin>\n"
    "\n"
    "  LoadPlugin event_writer\n"
    "  <Plugin event_writer>\n"
    "    ConnInfo \"dbname=aurore_events\"\n"
    "  </Plugin>\n"
    "\n"
    "=head1 DESCRIPTION\n"
    "\n"
    "B<event_buffer> accepts JSON events over HTTP and holds them in a "
    "bounded,\n"
    "crash-safe buffer. B<event_writer> stores them in PostgreSQL in batches, "
    "each\n"
    "event exactly once. Both also report metrics of their work as collectd "
    "values.\n"
    "\n"
    "They are configured in F<collectd.conf> or in a file that it includes, as "
    "shown\n"
    "above. A B<LoadPlugin> line must come before the B<Plugin> block of its "
    "plugin,\n"
    "else collectd ignores the block. A B<TypesDB> line turns collectd's "
    "default file\n"
    "off, so both files must be named.\n"
    "\n"
    "The database must exist, and the user that collectd runs as must be "
    "allowed to\n"
    "create a schema in it; event_writer creates and upgrades everything "
    "else.\n"
    "\n"
    "=head1 OPTIONS\n"
    "\n"
    "Names of options are not case-sensitive. Times are in seconds and may "
    "have "
    "a\n"
    "fraction. Sizes are in bytes, or written as C<\"64KiB\">, C<\"1MiB\"> or "
    "C<\"1GiB\">.\n"
    "An option that is given again replaces the earlier value, except for "
    "B<Listen>,\n"
    "which adds an address. An unknown option, or a value that is not allowed, "
    "stops\n"
    "collectd when it starts, with a message that names the option and what "
    "is\n"
    "allowed; C<collectd -T> shows it, too. A file that cannot be read or "
    "used,\n"
    "or an option that another one needs and that is missing, keeps its plugin "
    "from\n"
    "starting: a message names the option, the file and the reason, and "
    "collectd goes\n"
    "on without the plugin, with exit status 1 in the end.\n";

static const char pod_tail[] =
    "\n"
    "=head1 FILES\n"
    "\n"
    "=over\n"
    "\n"
    "=item F</etc/collectd/collectd.conf.d/aurore.conf>\n"
    "\n"
    "The installed configuration, which shows every option. When a new version "
    "is\n"
    "installed over an edited file, the new file is put beside it as "
    "F<aurore.conf.new>.\n"
    "\n"
    "=item F</usr/share/collectd/aurore.types.db>\n"
    "\n"
    "The collectd types of the metrics.\n"
    "\n"
    "=item F</var/lib/collectd/aurore>\n"
    "\n"
    "The spool, where the installed configuration puts it.\n"
    "\n"
    "=back\n"
    "\n"
    "=head1 SEE ALSO\n"
    "\n"
    "aurorectl(1), collectd(1), collectd.conf(5), psql(1)\n";

static void print_pod_option(const au_option_info_t *info) {
  char text[512];
  printf("\n=item B<%s>\n\n", info->name);
  print_wrapped("", info->help);
  if (info->details != NULL) {
    putchar('\n');
    print_wrapped("", info->details);
  }
  describe(info, text, sizeof(text));
  printf("\nType: %s. %s\n", info->type_text, text);
}

static void print_pod_options(const char *plugin, au_side_t side) {
  au_option_info_t info;
  const char *end_of_group = "";
  printf("\n=head2 Plugin %s\n", plugin);
  for (size_t i = 0; au_option_info(i, &info); i++) {
    if (info.side != side)
      continue;
    if (info.group != NULL) {
      printf("%s\n=head3 %s\n\n=over\n", end_of_group, info.group);
      end_of_group = "\n=back\n";
    }
    print_pod_option(&info);
  }
  fputs(end_of_group, stdout);
}

void tables_aurore_pod(void) {
  fputs(pod_head, stdout);
  print_pod_options("event_buffer", AU_SIDE_BUFFER);
  print_pod_options("event_writer", AU_SIDE_WRITER);
  fputs(pod_tail, stdout);
}
