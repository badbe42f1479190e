-- Room in each page for new versions of its rows: a transition that touches no indexed column then touches no index.
alter table agents set (fillfactor = 50);
