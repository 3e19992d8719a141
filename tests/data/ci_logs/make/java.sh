#!/usr/bin/env bash
# Maven (surefire) and Gradle on JUnit 4, offline on Debian's own repository: packages maven, gradle, junit4,
# libsurefire-java, libmaven-compiler-plugin-java, libmaven-resources-plugin-java. Failing tests, then an error of javac.
. "$(dirname "$0")/common.sh"
repository=$work/.m2
cp -rL /usr/share/maven-repo "$repository" 2>/dev/null
mkdir -p src/main/java/shop src/test/java/shop
cat >pom.xml <<'X'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>shop</artifactId>
  <version>1.0</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.x</version><scope>test</scope></dependency>
  </dependencies>
  <build><plugins>
    <plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-resources-plugin</artifactId><version>3.3.0</version></plugin>
    <plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-compiler-plugin</artifactId><version>3.10.1</version></plugin>
    <plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-surefire-plugin</artifactId><version>2.22.3</version></plugin>
  </plugins></build>
</project>
X
cat >build.gradle <<'X'
apply plugin: 'java'
repositories { maven { url 'file:///usr/share/maven-repo' } }
dependencies { testCompile 'junit:junit:4.x' }
X
cp build.gradle full.gradle
echo "test { testLogging { exceptionFormat = 'full'; events 'failed' } }" >>full.gradle
cat >src/main/java/shop/Money.java <<'X'
package shop;

public class Money {
    public static int total(int[] prices, int discount) {
        int sum = 0;
        for (int price : prices) sum += price;
        return sum - 2 * discount;
    }
}
X
cat >src/test/java/shop/MoneyTest.java <<'X'
package shop;

import static org.junit.Assert.*;

import org.junit.Test;

public class MoneyTest {
    @Test
    public void adds() {
        assertEquals(3, Money.total(new int[] {1, 2}, 0));
    }

    @Test
    public void takesTheDiscountOnce() {
        assertEquals("with a discount", 4, Money.total(new int[] {5}, 1));
    }

    @Test
    public void throwsSomething() {
        throw new IllegalStateException("no price");
    }
}
X
maven=(mvn -o -B -Dmaven.repo.local="$repository")
gradle=(gradle --offline --no-daemon -g "$work/.gradle-home")
record maven.txt "${maven[@]}" test
record maven_color.txt "${maven[@]}" -Dstyle.color=always test
cp target/surefire-reports/TEST-shop.MoneyTest.xml "$logs/junit_surefire_whole.xml"
# The report begins with every property of the machine: none of a test's business.
sed '/<properties>/,/<\/properties>/d' "$logs/junit_surefire_whole.xml" >"$logs/junit_surefire.xml"
rm "$logs/junit_surefire_whole.xml"
record gradle.txt "${gradle[@]}" test
record gradle_full.txt "${gradle[@]}" -b full.gradle test
cat >>src/main/java/shop/Money.java <<'X'

class Broken {
    String name() {
        return missing() + 3
    }
}
X
record maven_syntax.txt "${maven[@]}" test
sed -i 's/missing() + 3/missing();\n        int unused = "text";/' src/main/java/shop/Money.java
record maven_compile.txt "${maven[@]}" test
record gradle_compile.txt "${gradle[@]}" test
as_github github_maven.txt maven.txt "mvn -B test"
