#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# embed - the style and the script of the status page as a C header, for
# page.c, with what Content-Security-Policy says of them.
#
#   perl embed.pl page.css page.js > page_text.h
use strict;
use warnings;
use Digest::SHA qw(sha256_base64);

die "usage: embed.pl STYLE SCRIPT\n" if @ARGV != 2;
print "/* Made from the files of api/page/ by api/page/embed.pl. */\n";
for my $name ( 'style', 'script' ) {
    my $source = shift @ARGV;
    open my $file, '<', $source or die "embed.pl: $source: $!\n";
    my $text = do { local $/; <$file> };
    close $file;
    die "embed.pl: $source would end its element\n" if $text =~ m{</|<!--};
    my $hash = sha256_base64($text);
    $hash .= '=' while length($hash) % 4;
    my $row  = join ',', unpack 'C*', $text;
    my $body = '';
    $body .= "    $1,\n" while $row =~ /\G((?:\d+,){0,18}\d+),?/gc;
    print "\nstatic const unsigned char page_$name\[] = {\n$body};\n",
      "#define PAGE_\U$name\E_HASH \"'sha256-$hash'\"\n";
}
