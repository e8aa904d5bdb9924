CREATE TABLE author (id int PRIMARY KEY, name text NOT NULL, country text, born int);
CREATE TABLE book (id int PRIMARY KEY, author_id int, title text NOT NULL, year int, price numeric(8,2));
CREATE TABLE review (id int PRIMARY KEY, book_id int NOT NULL, stars int, reader text);
CREATE INDEX ON book (author_id);
CREATE INDEX ON review (book_id);
INSERT INTO author VALUES (1, 'Ada', 'UK', 1815), (2, 'Bo', 'SE', 1950), (3, 'Cy', NULL, NULL), (4, 'Di', 'UK', 1980), (5, 'Ed', 'US', 1950);
INSERT INTO book VALUES (1, 1, 'Notes', 1843, 10.50), (2, 1, 'Engines', 1842, NULL), (3, 2, 'Snow', 1999, 7.25), (4, 2, 'Ice', 2001, 12.00), (5, 2, 'Thaw', NULL, 7.25), (6, NULL, 'Anon', 1700, 3.00), (7, 4, 'First', 2010, 20.00), (8, 9, 'Lost', 1999, 1.00);
INSERT INTO review VALUES (1, 1, 5, 'x'), (2, 1, 4, 'y'), (3, 3, NULL, 'x'), (4, 3, 2, 'z'), (5, 4, 5, 'y'), (6, 7, 1, NULL), (7, 7, 1, 'x'), (8, 8, 3, 'z');
